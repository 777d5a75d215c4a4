"""How many threads compute: as many as there are cores that nobody else uses, looked at again while frames are made.

torch takes a thread for each core and splits every small operation among them. A latent frame is thousands of such
operations, and at the end of each the threads wait for the last one. Where another program holds a core, that one
waits for its turn while the others spin, and a video takes ten times as long. So generation asks the machine, twice a
second, how many cores are free, and uses no more. The results do not depend on it: the same seed gives the same bytes.
Training keeps its threads, on which the last bits of a gradient depend, and lets those that wait sleep at once.

What the user has set wins: `--threads`, OMP_NUM_THREADS, `torch.set_num_threads`.
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

SPINS = 10_000  # looks at a barrier, some 50 microseconds, before a thread sleeps there
SPINS_IN_TRAINING = 0  # its operations are so much larger that waking up costs little, and waiting for others much
SPIN_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SPINNING_IS_CHOSEN = any(name in os.environ for name in SPIN_SETTINGS)  # by the user
PATIENCE = 0.5  # seconds between two looks at the machine
NEARLY = 0.25  # of a core: so much of it may be used by others, and it still counts as free
TICK = 100  # of the kernel's counters of time, to a second
IDLE = (3, 4)  # columns of /proc/stat: idle, waiting for a disk
STAT, QUOTA = Path("/proc/stat"), Path("/sys/fs/cgroup/cpu.max")


def bound_spinning(spins: int = SPINS) -> None:
    """Before torch is imported: its threads wait at a barrier for a bounded time, unless the user has set how."""
    if not SPINNING_IS_CHOSEN:
        os.environ["GOMP_SPINCOUNT"] = str(spins)


class CoreTimes(NamedTuple):
    """Seconds of cores since the machine started, and of this process."""

    wall: float
    used: float  # of the cores that this process may use, by anybody
    own: float


def core_times() -> CoreTimes | None:
    """None where the system does not tell."""
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
            counts = [int(column) for column in columns[:8]]  # what guests use is counted in the first two already
            used += sum(count for place, count in enumerate(counts) if place not in IDLE) / TICK
    return CoreTimes(time.monotonic(), used, time.process_time())


def cores() -> int:
    """That this process may use: those of its affinity, or fewer where a container has a quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, min(allowed, math.floor(int(quota) / int(period) + NEARLY)))
    except (OSError, ValueError):  # no quota, or none that is told
        return allowed


class FreeCores:
    """Counts the cores that others leave free; a look is cheap, and the count anew only from time to time."""

    def __init__(self, core_times: Callable[[], CoreTimes | None] = core_times, cores: Callable[[], int] = cores):
        self.core_times, self.cores = core_times, cores
        self.last, self.count = core_times(), cores()

    def __call__(self) -> int:
        """At least 1. All of them where the system does not tell what others use."""
        if self.last is None or time.monotonic() - self.last.wall < PATIENCE:
            return self.count
        now = self.core_times()
        if now is not None:
            wall = now.wall - self.last.wall
            others = (now.used - self.last.used - (now.own - self.last.own)) / wall
            most = self.cores()
            self.count = max(1, min(most, math.floor(most - others + NEARLY)))
        self.last = now
        return self.count


free_cores = FreeCores()  # it counts from here on: importing torch gives it a second to look
automatic: int | None = None  # the number of threads that nobody chose; 0 where somebody chose one


def use_threads(threads: int | None) -> None:
    """What was asked for on a command line; without it, no more than a container's quota."""
    import torch

    wanted = min(cores(), torch.get_num_threads()) if threads is None else threads
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)
    global automatic
    automatic = None if threads is None else 0


@contextmanager
def threads_to_spare() -> Iterator[None]:
    """Inside, torch computes on the cores that are free; where the user has said on how many, on those."""
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
    """Calls of it compute on the cores that are free."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with threads_to_spare():
            return function(*args, **kwargs)

    return call
