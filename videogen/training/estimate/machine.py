"""The machine that a dry run is about: this one, or a GPU by its name."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from videogen.errors import UsageError

GIB = 2**30
GPUS = {  # from data sheets: GiB, and 10^12 operations a second of dense products in bfloat16 (T4: float16)
    "t4": ("NVIDIA T4", 15, 65),
    "l4": ("NVIDIA L4", 23, 121),
    "rtx3090": ("NVIDIA GeForce RTX 3090", 24, 71),
    "rtx4090": ("NVIDIA GeForce RTX 4090", 24, 165),
    "rtx5090": ("NVIDIA GeForce RTX 5090", 32, 210),
    "a100-40": ("NVIDIA A100 40 GB", 40, 312),
    "l40s": ("NVIDIA L40S", 45, 362),
    "a100": ("NVIDIA A100 80 GB", 80, 312),
    "h100": ("NVIDIA H100", 80, 989),
    "h200": ("NVIDIA H200", 139, 989),
    "b200": ("NVIDIA B200", 179, 2250),
}
MAX_TRIES, MAX_SECONDS = 5, 3.0  # of a step that is timed
GPU_UTILIZATION = 0.3  # share of the data sheet's rate in training: reported by good trainers, not measured here
CPU_UTILIZATION = 0.4  # share of this CPU's own rate of large matrix products that networks reach
CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Machine:
    """`rate` is the operations a second that training would reach, where known."""

    name: str
    memory: int
    rate: float | None
    is_here: bool = False  # this machine's CPU: its rate can be measured


def find_machine(name: str | None) -> Machine:
    """A GPU of the list, `cpu`, or (None) what this machine would train on."""
    if name in GPUS:
        full_name, memory, products = GPUS[name]
        return Machine(full_name, memory * GIB, GPU_UTILIZATION * products * 1e12)
    if name not in (None, "cpu"):
        raise UsageError(f"--device {name}: unknown machine; expected cpu, or {', '.join(GPUS)}")
    if name is None and torch.cuda.is_available():
        return this_gpu()
    return Machine("this machine", available_memory(), None, is_here=True)


def this_gpu() -> Machine:
    gpu = torch.cuda.get_device_properties(0)
    known = [products for name, _, products in GPUS.values() if set(name.split()[:2]) <= set(gpu.name.split())]
    return Machine(gpu.name, gpu.total_memory, GPU_UTILIZATION * max(known) * 1e12 if known else None)


def available_memory() -> int:
    """Bytes of memory of this machine, or of the container."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        return min(total, *(int(place.read_text()) for place in map(Path, CONTAINER_LIMITS) if place.is_file()))
    return total


def measure_rate(step: Callable[[], object], operations: float) -> float:
    """Operations a second of a step: the best of a few tries, because the machine may be busy."""
    spent: list[float] = []
    while len(spent) < MAX_TRIES and sum(spent) < MAX_SECONDS:
        began = time.perf_counter()
        step()
        spent.append(time.perf_counter() - began)
    return operations / min(spent)


def estimate_rate(precision: str, side: int = 1536) -> float:
    """For a step too large to time: a share of the rate of matrix products."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.ones(side, side, dtype=dtype) for _ in range(2))
    return CPU_UTILIZATION * measure_rate(lambda: a @ b, 2.0 * side**3)
