"""How two ways to do a thing are compared on a machine that others use too: in one run, in turns, ratio by ratio.

Time is the CPU time of the process where torch has one thread (on a quiet machine the same as wall time, on a shared
one what it would have been), else wall time; on a GPU wall time, waiting for the device. Peak memory is that of a
fresh process, for a process keeps what it has freed.
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
MIN_SECONDS = 0.02  # seconds: what takes less is repeated within a measurement
GEMM, TRIAD = 2048, 2**24

Name = TypeVar("Name", bound=Hashable)
Call = Callable[[], object]


class DeviceSetting(NamedTuple):
    """Where and in what precision a benchmark runs."""

    device: torch.device
    dtype: torch.dtype

    @property
    def words(self) -> dict[str, Any]:
        on_gpu = self.device.type == "cuda"
        device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
        clock = "CPU time" if not on_gpu and torch.get_num_threads() == 1 else "wall time"
        precision = str(self.dtype).removeprefix("torch.")
        return {"torch": torch.__version__, "device": device, "precision": precision, "clock": clock}


def device_setting(threads: int) -> DeviceSetting:
    """bfloat16 on a GPU where there is one, else float32 on so many threads of the CPU."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if torch.cuda.is_available():
        return DeviceSetting(torch.device("cuda"), torch.bfloat16)
    return DeviceSetting(torch.device("cpu"), torch.float32)


def time_alternately(ways: Mapping[Name, Call], rounds: int, where: DeviceSetting) -> dict[Name, list[float]]:
    """Seconds of a call of each, one a round, so that a disturbance meets all of them."""
    repeats = {}
    for name, way in ways.items():
        first = time_calls(way, 1, where)  # with all that is done once
        usual = first if first < MIN_SECONDS else time_calls(way, 1, where)
        repeats[name] = max(1, int(MIN_SECONDS / max(usual, 1e-6)))
    taken: dict[Name, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(time_calls(way, repeats[name], where))
    return taken


def time_calls(way: Call, repeats: int, where: DeviceSetting) -> float:
    clock = time.process_time if where.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    synchronize(where)
    start = clock()
    for _ in range(repeats):
        way()
    synchronize(where)
    return (clock() - start) / repeats


def synchronize(where: DeviceSetting) -> None:
    if where.device.type == "cuda":
        torch.cuda.synchronize()


def ratio(above: list[float], below: list[float]) -> float:
    """The median over rounds."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def machine_calls(where: DeviceSetting) -> dict[str, Call]:
    """What measures the machine itself, to be taken in turns with the rest."""
    a, b = (torch.randn(GEMM, GEMM, device=where.device, dtype=where.dtype) for _ in range(2))
    x, y, out = (torch.randn(TRIAD, device=where.device) for _ in range(3))
    return {"gemm": lambda: a @ b, "triad": lambda: torch.add(x, y, alpha=2.0, out=out)}


class RequiredWork(NamedTuple):
    """What a way cannot do without: floating-point operations, and bytes that have to come from memory."""

    flop: float
    bytes: float


def fraction_of_floor(work: RequiredWork, times: Mapping[str, list[float]], way: str) -> float:
    """Floor over measured, the median over rounds; the floor is that of the machine as it was in each round."""
    rates = zip(times[way], times["gemm"], times["triad"], strict=True)
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
    """What `python -m module --threads ... --worker task` answers."""
    command = [sys.executable, "-W", "ignore", "-m", module, "--threads", str(threads), "--worker", json.dumps(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{module}: {task} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def memory_growth_mb(way: Call, where: DeviceSetting) -> float:
    """How much higher memory peaks while `way` runs than before it, in a process that has done nothing else."""
    reset_peak_memory(where)
    before = peak_memory_mb(where)
    way()
    return peak_memory_mb(where) - before


def reset_peak_memory(where: DeviceSetting) -> None:
    """So that making weights and inputs does not count; where the system cannot, it does."""
    if where.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(where: DeviceSetting) -> float:
    if where.device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if not status.exists():  # macOS, which counts in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def grid_spec(codebooks: tuple[int, ...], side: int) -> TokenSpec:
    """Tokens in a grid of side x side, four frames per latent frame."""
    return TokenSpec(codebooks, (TokenGroup("tokens", (side, side)),), frames_per_latent=4)


def slope(sizes: list[int], times: list[list[float]]) -> float:
    """Of log time over log size, least squares in each round, the median over rounds: 1 is linear."""
    x = torch.tensor(sizes, dtype=torch.float64).log()
    y_RT = torch.tensor(times, dtype=torch.float64).log().T
    x = x - x.mean()
    return float(((y_RT @ x) / x.square().sum()).median())
