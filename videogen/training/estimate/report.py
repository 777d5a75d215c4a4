"""The part of a dry run that both stages share: memory, settings that would fit, and hours."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from videogen.errors import UsageError
from videogen.training.estimate.machine import GIB, GPU_UTILIZATION, Machine, estimate_rate, measure_rate
from videogen.training.estimate.memory_estimate import StepCost
from videogen.training.loop.config import TrainingConfig
from videogen.training.loop.stage import Json

USABLE = 0.9  # share of a memory: the rest is for kernels, fragmentation, and the system
MAX_CLIP_OPERATIONS = 3e12  # of a clip that is timed here
TIMED_OPERATIONS = 2e11  # of the clips that are timed, about


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of a training step in one process."""

    fixed: int  # weights, gradients, averages, optimizers
    clip: int  # activations of a clip, in the phase where they are largest
    clip_recomputed: int | None = None  # the same with `recompute: true`, if the stage has this setting
    sharded: bool = False  # FSDP can shard the fixed part

    def bytes(self, clips: int, recompute: bool = False) -> int:
        return self.fixed + clips * (self.clip_recomputed if recompute and self.clip_recomputed else self.clip)

    def sharded_bytes(self, training: TrainingConfig, processes: int) -> int:
        """With FSDP, where each process keeps a part."""
        return self.fixed // processes + micro_batch_size(training, processes) * self.clip


@dataclass(frozen=True)
class PhaseWork:
    """Steps, clips a step, operations a clip."""

    steps: float
    clips: int
    operations: float


def micro_batch_size(training: TrainingConfig, processes: int) -> int:
    """Clips of a micro-batch in one process; UsageError if the batch cannot be divided."""
    if training.batch_size % (training.accumulation * processes):
        parts = f"{training.accumulation} micro-batches of {processes} processes"
        raise UsageError(f"training.batch_size is {training.batch_size}; it cannot be divided into {parts}")
    return training.batch_size // training.accumulation // processes


def memory_report(need: MemoryNeed, training: TrainingConfig, processes: int, machine: Machine) -> Json:
    clips = micro_batch_size(training, processes)
    total = need.bytes(clips)
    sharded = need.sharded_bytes(training, processes)
    return {
        "memory in MiB": {
            "weights, averages, optimizers": need.fixed // 2**20,
            "activations": clips * need.clip // 2**20,
            "together": total // 2**20,
            **({"together with FSDP": sharded // 2**20} if need.sharded and processes > 1 else {}),
        },
        "memory of the machine in MiB": {machine.name: machine.memory // 2**20},
        "fits": total <= USABLE * machine.memory,
        "to make it fit": settings_that_fit(need, training, processes, machine),
    }


def settings_that_fit(need: MemoryNeed, training: TrainingConfig, processes: int, machine: Machine) -> list[str]:
    """Settings with which a step fits, the fastest first; empty if it fits already."""
    usable, share = USABLE * machine.memory, training.batch_size // processes
    if need.bytes(micro_batch_size(training, processes)) <= usable:
        return []
    found = []
    if need.sharded and processes > 1 and (sharded := need.sharded_bytes(training, processes)) <= usable:
        found.append(f"FSDP over the {processes} ({sharded / GIB:.1f} GiB)")
    for recompute in (False, True) if need.clip_recomputed is not None else (False,):
        for parts in (n for n in range(training.accumulation, share + 1) if share % n == 0):
            if need.bytes(share // parts, recompute) <= usable:
                settings = "recompute=true " * recompute + f"training.accumulation={parts}"
                found.append(f"{settings} ({need.bytes(share // parts, recompute) / GIB:.1f} GiB)")
                break
    return found or [fallback_advice(need, usable, processes)]


def fallback_advice(need: MemoryNeed, usable: float, processes: int) -> str:
    smallest = need.clip if need.clip_recomputed is None else need.clip_recomputed
    if smallest >= usable:
        return f"a smaller network, or shorter or smaller clips in phases: one clip needs {smallest / GIB:.1f} GiB"
    if not need.sharded:
        return f"a smaller network: it needs {need.fixed / GIB:.1f} GiB, however small a batch is"
    gpus = processes
    while need.fixed / gpus + smallest > usable:
        gpus += 1
    settings = "recompute=true, " if need.clip_recomputed is not None else ""
    return f"FSDP over {gpus} such machines or more, {settings}and one clip at a time in each"


def estimate_hours(
    phase_work: Iterable[PhaseWork], training: TrainingConfig, processes: int, machine: Machine,
    make_trial: Callable[[int], Callable[[], Any]], cost: StepCost, need: MemoryNeed,
) -> Json:  # fmt: skip
    """Hours of arithmetic alone. `make_trial(n)` is a real step of n clips, timed here if it is small enough."""
    work = sum(each.steps * each.clips * each.operations for each in phase_work)
    how, rate = f"at {GPU_UTILIZATION:.0%} of the data sheet rate of {machine.name}", machine.rate
    if machine.is_here and need.bytes(1) < machine.memory:
        clips = max(1, min(micro_batch_size(training, processes), int(TIMED_OPERATIONS / cost.operations)))
        if cost.operations <= MAX_CLIP_OPERATIONS and need.bytes(clips) < machine.memory / 4:
            how = f"from a step of {clips} clips that was timed here"
            rate = measure_rate(make_trial(clips), clips * cost.operations)
        else:
            how, rate = "estimated from this machine's matrix products", estimate_rate(training.precision)
    known = {} if rate is None else {"hours": work / rate / processes / 3600, "hours are": how}
    return {"operations of a clip": f"{cost.operations:.3g}", **known}


def format_table(facts: Json) -> str:
    """One line for each fact that is not empty."""
    return "\n".join(f"{name:<28} {format_value(value)}" for name, value in facts.items() if value not in ([], None))


def format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item:,}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(" x ".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
