"""What the loop asks of a stage (tokenizer, prior), and what it gives the stage in return.

A step of the loop, for each of its micro-batches:

    for output in stage.losses(batch, step, distributed):   # one a trained module, in the stage's own order
        output.loss.backward()
    ... then, if every number is finite: each module that had a loss takes its optimizer step; stage.after_step(...)
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from videogen.checkpoint import Content
from videogen.errors import CheckpointError
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.monitor import MonitoredMetric

Json = dict[str, Any]
Replaced = Mapping[str, Mapping[str, Tensor]]  # bool [V], the rows of a tensor, by module and by the tensor's name


@dataclass(frozen=True, eq=False)
class TrainedModule:
    """A network with its own optimizer; if `averaged`, its moving average (EMA) is validated and exported."""

    module: nn.Module
    optimizer: OptimizerConfig
    averaged: bool = True
    may_freeze: bool = False  # some steps freeze some of its parameters
    averaged_buffers: tuple[str, ...] = ()  # buffers that belong to the weights, such as an EMA codebook
    first_step: int = 0  # its warmup and its cosine count from here
    init_weights: Callable[[], Mapping[str, Tensor]] | None = None  # called when a run begins, not when it resumes


class LossOutput(NamedTuple):
    """The loss of one trained module on a micro-batch (a scalar), and detached numbers for the log."""

    module: str
    loss: Tensor
    metrics: dict[str, Tensor]


class TrainingBatch(Protocol):
    """This process's part of a micro-batch. `next_position` is where the next one begins: JSON, saved with the run."""

    @property
    def keys(self) -> tuple[str, ...]: ...
    @property
    def next_position(self) -> Json: ...


@dataclass(frozen=True, eq=False)
class Distributed:
    """The trained modules as the loop has wrapped them (DDP, FSDP), and the other processes.

    Call `modules[name](...)` for a forward pass whose gradients are averaged over processes. Inside
    `frozen_module(name)` gradients pass through a module without reaching its weights. `mean` averages a tensor over
    processes; `gather` returns one value per process, in order of rank.
    """

    modules: Mapping[str, nn.Module]
    frozen_module: Callable[[str], AbstractContextManager[nn.Module]]
    mean: Callable[[Tensor], Tensor]
    gather: Callable[[Any], list[Any]]
    device: torch.device
    rank: int
    world_size: int
    sharded: bool  # FSDP: each process holds a part of each weight


BatchT = TypeVar("BatchT", bound=TrainingBatch)


def init_weights(trained_modules: Mapping[str, TrainedModule]) -> None:
    """Load the initial weights of a new run, where they are not random."""
    for trained in trained_modules.values():
        if trained.init_weights is not None:
            trained.module.load_state_dict(trained.init_weights())


@contextmanager
def naming_init_from() -> Iterator[None]:
    """Errors about the model of `init_from` name the key, because a preset may have set it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"init_from: {error}; init_from=null starts from random weights") from None


class Stage(Protocol[BatchT]):
    """What is trained. How it is trained is the loop's part."""

    @property
    def name(self) -> str: ...

    @property
    def trained_modules(self) -> Mapping[str, TrainedModule]:
        """By the names that optimizers and checkpoints use."""

    @property
    def extra_state(self) -> nn.Module | None:
        """Buffers of the stage, such as running averages: saved and restored, and equal in all processes."""

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world_size: int) -> Generator[BatchT]:
        """Endless micro-batches, `accumulation` a step, from `step` on. A new run starts at position {}."""

    def frozen(self, module: str, step: int) -> Callable[[str], bool]:
        """Which parameters (by name) this step freezes: they are set to their average and stay there."""

    def losses(self, batch: BatchT, step: int, distributed: Distributed) -> Iterator[LossOutput]:
        """One output per module; its backward pass ends before the next is computed. No weight has changed yet."""

    def after_step(self, step: int, means: Mapping[str, float], distributed: Distributed) -> Replaced:
        """Called after the optimizer step and before averages move; all processes have the same `means` of the step.

        Returns what it replaced in trained modules, such as revived codes: averages jump there instead of following.
        """

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        """By name, a message (what is wrong, what to do) or None; `means` are those since the last line of the log."""

    def validate(self, distributed: Distributed) -> dict[str, float]:
        """Metrics on held-out data, equal in all processes. The weights are the averages here."""

    @property
    def monitored(self) -> MonitoredMetric:
        """The validation metric that selects the best model."""

    def write_samples(self, distributed: Distributed, place: Path) -> None:
        """Write images or videos to files whose names begin with `place`; only process 0 writes."""

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        """The files of a model folder, from the (averaged) weights of each module."""

    def summary(self) -> dict[str, str]:
        """Facts for a dry run and a model card, besides memory."""
