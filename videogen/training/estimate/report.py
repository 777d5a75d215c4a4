"""What a dry run says of any stage: whether a step fits into a machine's memory, what would make it fit, and hours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from videogen.errors import UsageError
from videogen.training.estimate.machine import GIB, REACHED, Machine, guessed_rate, measured_rate
from videogen.training.estimate.memory_estimate import Cost
from videogen.training.loop.config import TrainingConfig
from videogen.training.loop.stage import Json

ROOM = 0.9  # of a memory: the rest is for kernels, fragments, and the system
TRIED = 3e12  # operations of a clip at most, for it to be tried here
AT_ONCE = 2e11  # operations of the clips that are tried, about


@dataclass(frozen=True)
class Need:
    """Bytes of a training step in one process."""

    kept: int  # weights, gradients, averages, optimizers
    clip: int  # activations of a clip, in the phase where it is largest
    clip_recomputed: int | None = None  # the same with `recompute: true`, where there is such a setting
    sharded: bool = False  # FSDP can share out what is kept

    def bytes(self, clips: int, recompute: bool = False) -> int:
        return self.kept + clips * (self.clip_recomputed if recompute and self.clip_recomputed else self.clip)

    def sharded_bytes(self, training: TrainingConfig, processes: int) -> int:
        """Where each process keeps a part, as FSDP does."""
        return self.kept // processes + clips_at_once(training, processes) * self.clip


@dataclass(frozen=True)
class Stretch:
    """So many steps, each of so many clips, each of so many operations."""

    steps: float
    clips: int
    operations: float


def clips_at_once(training: TrainingConfig, processes: int) -> int:
    """Of a micro-batch in one process; UsageError where they cannot be shared out."""
    if training.batch_size % (training.accumulation * processes):
        parts = f"{training.accumulation} micro-batches of {processes} processes"
        raise UsageError(f"training.batch_size is {training.batch_size}; it cannot be shared out to {parts}")
    return training.batch_size // training.accumulation // processes


def memory_figures(need: Need, training: TrainingConfig, processes: int, machine: Machine) -> Json:
    clips = clips_at_once(training, processes)
    together = need.bytes(clips)
    sharded = need.sharded_bytes(training, processes)
    return {
        "memory in MiB": {
            "weights, averages, optimizers": need.kept // 2**20,
            "activations": clips * need.clip // 2**20,
            "together": together // 2**20,
            **({"together with FSDP": sharded // 2**20} if need.sharded and processes > 1 else {}),
        },
        "memory of the machine in MiB": {machine.name: machine.memory // 2**20},
        "fits": together <= ROOM * machine.memory,
        "to make it fit": what_fits(need, training, processes, machine),
    }


def what_fits(need: Need, training: TrainingConfig, processes: int, machine: Machine) -> list[str]:
    """Settings with which a step fits, the fastest first; none where it fits as it is."""
    room, share = ROOM * machine.memory, training.batch_size // processes
    if need.bytes(clips_at_once(training, processes)) <= room:
        return []
    found = []
    if need.sharded and processes > 1 and (sharded := need.sharded_bytes(training, processes)) <= room:
        found.append(f"FSDP over the {processes} ({sharded / GIB:.1f} GiB)")
    for recompute in (False, True) if need.clip_recomputed is not None else (False,):
        for parts in (n for n in range(training.accumulation, share + 1) if share % n == 0):
            if need.bytes(share // parts, recompute) <= room:
                words = "recompute=true " * recompute + f"training.accumulation={parts}"
                found.append(f"{words} ({need.bytes(share // parts, recompute) / GIB:.1f} GiB)")
                break
    return found or [what_else(need, room, processes)]


def what_else(need: Need, room: float, processes: int) -> str:
    smallest = need.clip if need.clip_recomputed is None else need.clip_recomputed
    if smallest >= room:
        return f"a smaller network, or shorter or smaller clips in phases: one clip needs {smallest / GIB:.1f} GiB"
    if not need.sharded:
        return f"a smaller network: {need.kept / GIB:.1f} GiB stay, however small a batch is"
    gpus = processes
    while need.kept / gpus + smallest > room:
        gpus += 1
    settings = "recompute=true, " if need.clip_recomputed is not None else ""
    return f"FSDP over {gpus} such machines or more, {settings}and one clip at a time in each"


def hours(
    stretches: Iterable[Stretch], training: TrainingConfig, processes: int, machine: Machine,
    tried: Callable[[int], Callable[[], Any]], cost: Cost, need: Need,
) -> Json:  # fmt: skip
    """Of the arithmetic alone. `tried(n)` makes a real step of n clips; what fits here and is short is timed."""
    work = sum(each.steps * each.clips * each.operations for each in stretches)
    how, rate = f"at {REACHED:.0%} of what the data sheet of {machine.name} promises", machine.rate
    if machine.is_here and need.bytes(1) < machine.memory:
        clips = max(1, min(clips_at_once(training, processes), int(AT_ONCE / cost.operations)))
        if cost.operations <= TRIED and need.bytes(clips) < machine.memory / 4:
            how, rate = (
                f"as a step of {clips} clips was timed here",
                measured_rate(tried(clips), clips * cost.operations),
            )
        else:
            how, rate = "guessed from this machine's matrix products", guessed_rate(training.precision)
    known = {} if rate is None else {"hours": work / rate / processes / 3600, "hours are": how}
    return {"operations of a clip": f"{cost.operations:.3g}", **known}


def table(figures: Json) -> str:
    """Figures for people, a line each; what is empty is left out."""
    return "\n".join(f"{name:<28} {said(value)}" for name, value in figures.items() if value not in ([], None))


def said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item:,}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(" x ".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
