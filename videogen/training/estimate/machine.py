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
GPUS = {  # by their data sheets: GiB, and 10^12 operations a second of dense products in bfloat16 (T4: float16)
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
TRIES, ENOUGH = 5, 3.0  # of a step that is timed, and the seconds after which no more are made
REACHED = 0.3  # of a data sheet's products, in training: what well kept trainers report, not measured here
REACHED_BY_NETWORKS = 0.4  # of this CPU's own products of large matrices
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container


@dataclass(frozen=True)
class Machine:
    """`rate` is the operations a second that training would reach there, where that is known."""

    name: str
    memory: int
    rate: float | None
    is_here: bool = False  # this machine's CPU: its rate can be measured


def machine_called(name: str | None) -> Machine:
    """A GPU of the list, `cpu`, or (None) what this machine would train on."""
    if name in GPUS:
        called, memory, products = GPUS[name]
        return Machine(called, memory * GIB, REACHED * products * 1e12)
    if name not in (None, "cpu"):
        raise UsageError(f"--device {name}: no machine of that name is known; expected cpu, or {', '.join(GPUS)}")
    if name is None and torch.cuda.is_available():
        return this_gpu()
    return Machine("this machine", memory_here(), None, is_here=True)


def this_gpu() -> Machine:
    found = torch.cuda.get_device_properties(0)
    known = [products for called, _, products in GPUS.values() if set(called.split()[:2]) <= set(found.name.split())]
    return Machine(found.name, found.total_memory, REACHED * max(known) * 1e12 if known else None)


def memory_here() -> int:
    """Bytes that programs can have here: the machine's, or what a container leaves of them."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        return min(whole, *(int(place.read_text()) for place in map(Path, LIMITS) if place.is_file()))
    return whole


def measured_rate(step: Callable[[], object], operations: float) -> float:
    """Operations a second of a step that needs so many, at the best of a few tries: the first has more to do, and
    others may be at work on the machine."""
    spent: list[float] = []
    while len(spent) < TRIES and sum(spent) < ENOUGH:
        began = time.perf_counter()
        step()
        spent.append(time.perf_counter() - began)
    return operations / min(spent)


def guessed_rate(precision: str, side: int = 1536) -> float:
    """Where a step is too large to be tried: a share of what products of matrices reach."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.ones(side, side, dtype=dtype) for _ in range(2))
    return REACHED_BY_NETWORKS * measured_rate(lambda: a @ b, 2.0 * side**3)
