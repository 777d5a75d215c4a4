"""The number of threads: generation uses only the cores that other programs leave free.

torch starts a thread for each core and splits every small operation among them. A latent frame is thousands of such
operations, and at the end of each all threads wait for the last one. If another program uses a core, its thread is
delayed while the others spin, and a video takes ten times as long. So generation measures twice a second how many cores
are free. The results do not depend on it: the same seed gives the same bytes. Training does not change its threads, on
which the last bits of a gradient depend; its waiting threads sleep at once.

The user's settings win: `--threads`, OMP_NUM_THREADS, `torch.set_num_threads`.
"""

import functools
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SPINS = 10_000  # polls of a barrier, about 50 microseconds, before a thread sleeps
SPINS_IN_TRAINING = 0  # its operations are much larger: waking up costs little, spinning much
SPIN_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SPINNING_IS_CHOSEN = any(name in os.environ for name in SPIN_SETTINGS)  # the user set it
INTERVAL = 0.5  # seconds between two measurements
TOLERANCE = 0.25  # a core counts as free if others use at most this share of it
TICK = 100  # ticks per second of the kernel's counters
IDLE = (3, 4)  # columns of /proc/stat: idle, iowait
STAT, QUOTA = Path("/proc/stat"), Path("/sys/fs/cgroup/cpu.max")


def bound_spinning(spins: int = SPINS) -> None:
    """Limits how long torch's threads spin, unless the user set it; call it before torch is imported."""
    if not SPINNING_IS_CHOSEN:
        os.environ["GOMP_SPINCOUNT"] = str(spins)


class CoreTimes(NamedTuple):
    """Core seconds so far."""

    wall: float
    used: float  # by all processes, on the cores that this process may use
    own: float  # by this process


def core_times() -> CoreTimes | None:
    """None if the system does not provide them."""
    try:
        lines = STAT.read_text().splitlines()
        cores = os.sched_getaffinity(0)
    except (OSError, AttributeError):
        return None
    used = 0.0
    for line in lines[1:]:
        name, *columns = line.split()
        if not name.startswith("cpu"):
            break
        if int(name[3:]) in cores:
            counts = [int(column) for column in columns[:8]]  # the first two include guests
            used += sum(count for place, count in enumerate(counts) if place not in IDLE) / TICK
    return CoreTimes(time.monotonic(), used, time.process_time())


def cores() -> int:
    """The number of cores that this process may use: its CPU affinity, limited by the quota of its container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, min(allowed, math.floor(int(quota) / int(period) + TOLERANCE)))
    except (OSError, ValueError):  # no quota
        return allowed


class FreeCores:
    """Counts the cores that other processes leave free; measures again after INTERVAL."""

    def __init__(self, core_times: Callable[[], CoreTimes | None] = core_times, cores: Callable[[], int] = cores):
        self.core_times, self.cores = core_times, cores
        self.last, self.count = core_times(), cores()

    def __call__(self) -> int:
        """At least 1; all cores if the system does not say what others use."""
        if self.last is None or time.monotonic() - self.last.wall < INTERVAL:
            return self.count
        now = self.core_times()
        if now is not None:
            wall = now.wall - self.last.wall
            others = (now.used - self.last.used - (now.own - self.last.own)) / wall
            most = self.cores()
            self.count = max(1, min(most, math.floor(most - others + TOLERANCE)))
        self.last = now
        return self.count


free_cores = FreeCores()  # measures from here on: importing torch takes about a second
automatic: int | None = None  # torch's default number of threads; 0 if the user chose a number


def use_threads(threads: int | None) -> None:
    """Sets the number of threads of the command line; None: at most the quota of the container."""
    import torch

    count = min(cores(), torch.get_num_threads()) if threads is None else threads
    if count != torch.get_num_threads():
        torch.set_num_threads(count)
    global automatic
    automatic = None if threads is None else 0


@contextmanager
def use_free_cores() -> Iterator[None]:
    """Limits torch to the free cores inside the block, unless the user chose a number of threads."""
    import torch

    global automatic
    given = torch.get_num_threads()
    if automatic is None:
        automatic = 0 if "OMP_NUM_THREADS" in os.environ else given
    chosen = min(given, free_cores()) if given == automatic else given
    if chosen == given:
        yield
        return
    torch.set_num_threads(chosen)
    try:
        yield
    finally:
        torch.set_num_threads(given)


def on_free_cores(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the function computes only on free cores."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with use_free_cores():
            return function(*args, **kwargs)

    return call


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch, so that the same numbers come out whatever the number of cores."""
    import torch

    given = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(given)
