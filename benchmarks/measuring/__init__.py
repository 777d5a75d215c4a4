"""Comparing measurements on a shared machine: in one run, alternating, as medians of ratios.

With one torch thread, time is the CPU time of the process, which other programs disturb little; otherwise, and on a
GPU, it is wall time after synchronizing. Peak memory is that of a fresh process, because a process keeps freed memory.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from interfaces.tokens import TokenGroup, TokenSpec

ROOT = Path(__file__).resolve().parent.parent.parent
MIN_SECONDS = 0.02  # shorter calls are repeated within a measurement
GEMM, TRIAD = 2048, 2**24

Name = TypeVar("Name", bound=Hashable)
Call = Callable[[], object]


class DeviceSetting(NamedTuple):
    """The device and the precision of a benchmark."""

    device: torch.device
    dtype: torch.dtype

    @property
    def description(self) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
        clock = "CPU time" if not on_gpu and torch.get_num_threads() == 1 else "wall time"
        precision = str(self.dtype).removeprefix("torch.")
        return {"torch": torch.__version__, "device": device, "precision": precision, "clock": clock}


def device_setting(threads: int) -> DeviceSetting:
    """bfloat16 on a GPU if there is one, otherwise float32 on `threads` CPU threads."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if torch.cuda.is_available():
        return DeviceSetting(torch.device("cuda"), torch.bfloat16)
    return DeviceSetting(torch.device("cpu"), torch.float32)


def time_alternately(calls: Mapping[Name, Call], rounds: int, where: DeviceSetting) -> dict[Name, list[float]]:
    """Seconds per call of each, one measurement per round, so that a disturbance affects all of them."""
    repeats = {}
    for name, call in calls.items():
        first = time_calls(call, 1, where)  # warm-up
        usual = first if first < MIN_SECONDS else time_calls(call, 1, where)
        repeats[name] = max(1, int(MIN_SECONDS / max(usual, 1e-6)))
    taken: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(time_calls(call, repeats[name], where))
    return taken


def time_calls(call: Call, repeats: int, where: DeviceSetting) -> float:
    clock = time.process_time if where.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(where)
    start = clock()
    for _ in range(repeats):
        call()
    synchronize(where)
    return (clock() - start) / repeats


def synchronize(where: DeviceSetting) -> None:
    if where.device.type == "cuda":
        torch.cuda.synchronize()


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios of rounds."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def machine_calls(where: DeviceSetting) -> dict[str, Call]:
    """Calls that measure the machine, to alternate with the others."""
    a, b = (torch.randn(GEMM, GEMM, device=where.device, dtype=where.dtype) for _ in range(2))
    x, y, out = (torch.randn(TRIAD, device=where.device) for _ in range(3))
    return {"gemm": lambda: a @ b, "triad": lambda: torch.add(x, y, alpha=2.0, out=out)}


class RequiredWork(NamedTuple):
    """The least that a computation needs: floating-point operations, and bytes read from memory."""

    flop: float
    bytes: float


def fraction_of_floor(work: RequiredWork, times: Mapping[str, list[float]], call: str) -> float:
    """Roofline over measured time, the median over rounds, with the rates of the machine in each round."""
    rates = zip(times[call], times["gemm"], times["triad"], strict=True)
    return statistics.median(
        max(work.flop * gemm / (2 * GEMM**3), work.bytes * triad / (3 * 4 * TRIAD)) / taken
        for taken, gemm, triad in rates
    )


def rates(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {
        "gemm_gflops": 2 * GEMM**3 / statistics.median(times["gemm"]) / 1e9,
        "bandwidth_gb_s": 3 * 4 * TRIAD / statistics.median(times["triad"]) / 1e9,
    }


def run_in_fresh_process(module: str, threads: int, task: dict[str, Any]) -> dict[str, Any]:
    """The answer of `python -m module --threads ... --worker task`."""
    command = [sys.executable, "-W", "ignore", "-m", module, "--threads", str(threads), "--worker", json.dumps(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{module}: {task} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def memory_growth_mb(call: Call, where: DeviceSetting) -> float:
    """The increase of peak memory by a call, for a process that did nothing else."""
    reset_peak_memory(where)
    before = peak_memory_mb(where)
    call()
    return peak_memory_mb(where) - before


def reset_peak_memory(where: DeviceSetting) -> None:
    """Resets the peak, if the system can, so that creating weights and inputs does not count."""
    if where.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(where: DeviceSetting) -> float:
    if where.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if not status.exists():  # macOS counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def grid_spec(codebooks: tuple[int, ...], side: int) -> TokenSpec:
    """Tokens in a grid of side x side, four frames per latent frame."""
    return TokenSpec(codebooks, (TokenGroup("tokens", (side, side)),), frames_per_latent=4)


def slope(sizes: list[int], times: list[list[float]]) -> float:
    """The slope of log time over log size by least squares, the median over rounds; 1 is linear."""
    x = torch.tensor(sizes, dtype=torch.float64).log()
    y_RT = torch.tensor(times, dtype=torch.float64).log().T
    x = x - x.mean()
    return float(((y_RT @ x) / x.square().sum()).median())
