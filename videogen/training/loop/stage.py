"""What a stage of training has to offer, and what the loop gives it in return; tokenizer and prior keep this promise.

A step of the loop, for each of its micro-batches:

    for turn in stage.turns(batch, step, team):   # one turn a player, in the stage's own order
        turn.total.backward()
    ... then, if every number is finite: each player that had a turn takes its optimizer's step; stage.applied(...)
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from videogen.checkpoint import Content
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.monitor import Judged

Json = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Player:
    """A network with an optimizer of its own; `averaged` ones are validated and exported by their moving average."""

    module: nn.Module
    optimizer: OptimizerConfig
    averaged: bool = True
    rests: bool = False  # at some steps some of its parameters rest
    begins: int = 0  # its first step: its warmup and its cosine count from there
    first_weights: Callable[[], Mapping[str, Tensor]] | None = None  # read where a run begins, not where one goes on


class Turn(NamedTuple):
    """What a player has to minimise on a micro-batch: a scalar, and named numbers for the log without a gradient."""

    player: str
    total: Tensor
    terms: dict[str, Tensor]


class AnyBatch(Protocol):
    """This process's part of a micro-batch. `next` is where the one after it begins: plain data, saved with the run."""

    @property
    def keys(self) -> tuple[str, ...]: ...
    @property
    def next(self) -> Json: ...


@dataclass(frozen=True, eq=False)
class Team:
    """The players as the loop has wrapped them, and the other processes, for a stage to work with.

    `modules[name](...)` counts for the gradients of all processes; inside `bystander(name)` gradients pass through a
    player without reaching its weights. `mean` is over processes, of a tensor that all of them have; `everyone` gives
    what each of them has to say, in their order.
    """

    modules: Mapping[str, nn.Module]
    bystander: Callable[[str], AbstractContextManager[nn.Module]]
    mean: Callable[[Tensor], Tensor]
    everyone: Callable[[Any], list[Any]]
    device: torch.device
    rank: int
    world: int
    sharded: bool  # each process holds a part of each weight


BatchT = TypeVar("BatchT", bound=AnyBatch)


def begin(players: Mapping[str, Player]) -> None:
    """Give the players the weights that a new run begins with, where they are not random."""
    for player in players.values():
        if player.first_weights is not None:
            player.module.load_state_dict(player.first_weights())


class Stage(Protocol[BatchT]):
    """Everything about what is trained, nothing about how."""

    @property
    def name(self) -> str: ...

    @property
    def players(self) -> Mapping[str, Player]:
        """By the names that optimizers and checkpoints know them by."""

    @property
    def memory(self) -> nn.Module | None:
        """Buffers of the stage's own, such as running averages: saved, restored, alike in all processes."""

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[BatchT]:
        """Micro-batches without end, `accumulation` for each step from `step` on; position {} is the beginning."""

    def resting(self, player: str, step: int) -> Callable[[str], bool]:
        """Which parameters (by name) this step leaves alone: they take on their average and stay there."""

    def turns(self, batch: BatchT, step: int, team: Team) -> Iterator[Turn]:
        """One turn a player; every turn's gradients are taken before the next begins. No weight has changed yet."""

    def applied(self, step: int, means: Mapping[str, float]) -> None:
        """The step was taken; `means` are its terms over all micro-batches and processes."""

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        """By name, what a person should know and do, or None; `means` are those since the last line of the log."""

    def validate(self, team: Team) -> dict[str, float]:
        """Figures on data that is never trained on, the same in all processes; weights are the averages here."""

    @property
    def judged(self) -> Judged:
        """The figure of `validate` that says which of two models is better."""

    def draw_samples(self, team: Team, place: Path) -> None:
        """Something to look at, in files whose names begin with `place`; process 0 alone writes them."""

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        """The files of a model folder, from the players' (averaged) weights by name."""

    def figures(self) -> dict[str, str]:
        """What a dry run should say about this stage beside parameters and memory."""
