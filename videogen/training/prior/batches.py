"""The lessons of a run of stage two, step by step; what is masked and spoilt is a function of seed, epoch and sample.

The loss of a step is a mean over all tokens that are asked for in it, in every micro-batch of every process. Each
knows their number beforehand, from the chance of all samples of the step.
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prior.objective import Chance, cosine_counts, masks, spoilt
from videogen.data import Position
from videogen.data.split import TO_KEEP_OTHERS, draw, kept_for_validation
from videogen.tokens import TokenSet
from videogen.tokens.windows import TokenWindows, Window, split_rows
from videogen.training.loop.dataset_report import Used
from videogen.training.loop.stage import Json
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig

RATE, SPOILS, WITHHOLDS, CUTS, CUT_AT, CUT_TO, FIXED = range(7)  # of a sample's chance; its frames and tokens follow


@dataclass(frozen=True, eq=False)
class LessonBatch:
    """This process's part of a micro-batch, on the CPU."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    ids: Tensor  # int64 [B, T, h, w], the truth
    clean: Tensor  # the same as a history, partly spoilt
    hidden: Tensor  # bool [B, T, h, w]: masked, in the objective that masks
    counted: Tensor  # bool [B, T, h, w]: what the loss is about
    share: float  # 1 / tokens that count, in the mean micro-batch of this step
    rate: Tensor  # float [B]
    withheld: Tensor  # bool [B]: captions that are not told
    next: Json


class Drawn(NamedTuple):
    """What chance decides about a sample, drawn once: all processes count what it asks, one makes a lesson of it."""

    at: Position
    start: int  # of its window
    cut: tuple[int, int] | None  # the frame at which it turns into another clip, and the number of that clip
    counts_T: Tensor  # tokens of each frame that are asked for, where anything is

    @property
    def first_asked(self) -> int:
        """The frame from which on something is asked: what comes before it is history alone."""
        if self.cut is not None:
            return self.cut[0]
        return 0 if self.start == 0 else 1


class Lessons:
    """Everything that a run reads: endless batches to train on, and the clips it is judged by."""

    def __init__(self, config: PriorTrainingConfig, train: TokenSet, validation: TokenSet | None):
        self.config = config
        rows, held = (np.arange(len(train)), None) if validation else split_rows(train, config.data.validation_share)
        seed, opening = config.training.seed, config.data.opening_share
        self.windows = [
            TokenWindows(train, rows, phase.frames, seed, opening, called="clips to train on")
            for phase in config.phases
        ]
        frames = config.phases[-1].frames
        if held is None:
            assert validation is not None
            others = np.arange(len(validation))
            self.held_out = TokenWindows(validation, others, frames, seed=0, called="clips to validate with")
        else:
            called = kept_for_validation((train.label(int(row))[0] for row in held), len(held))
            remedy = f"{TO_KEEP_OTHERS}; or lower phases.frames"
            self.held_out = TokenWindows(train, held, frames, seed=0, called=called, remedy=remedy)

    @property
    def grid(self) -> tuple[int, int]:
        return self.windows[0].grid

    def used(self) -> Used:
        """In the last phase, which the run is judged by; refused clips have no tokens."""
        last, held = self.windows[-1], self.held_out
        return Used(
            train=len(last),
            held_out=len(held),
            asked=self.config.data.validation_clips,
            refused=0,
            short=last.short + held.short,
            least=f"{last.frames} latent frames",
        )

    def for_validation(self) -> list[Window]:
        """The beginnings of held-out clips, the same at every call."""
        windows = self.held_out
        clips = [windows.tokens.clip(int(row)) for row in windows.spread(self.config.data.validation_clips)]
        return [Window(clip.key, clip.caption, clip.ids[: windows.frames].numpy(), 0) for clip in clips]

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[LessonBatch]:
        places, size = dict(position), self.config.training.batch_size
        while True:
            number = self.config.phase_at(step)
            windows, name = self.windows[number], f"phase {number}"
            cuts = not self.is_rollout(step)  # a history that the model makes itself is told one caption
            at = Position(**places.get(name, {}))
            samples = [self.drawn(windows, at.after(offset, len(windows)), cuts) for offset in range(size)]
            share = accumulation * world / tokens_that_count(samples)
            for part in range(accumulation):
                micro = samples[part * size // accumulation : (part + 1) * size // accumulation]
                mine = micro[rank * len(micro) // world : (rank + 1) * len(micro) // world]
                places = {**places, name: asdict(micro[-1].at.after(1, len(windows)))}
                yield self.lesson(windows, mine, share, places)
            step += 1

    def drawn(self, windows: TokenWindows, at: Position, cuts: bool) -> Drawn:
        chance = windows.chance(at.epoch, at.sample, FIXED + windows.frames)
        cut = self.cut(windows, chance[:FIXED].astype(float)) if cuts else None
        return Drawn(at, windows.start(at.epoch, at.sample), cut, self.counts(windows, chance[FIXED:]))

    def cut(self, windows: TokenWindows, chance: NDArray[np.float64]) -> tuple[int, int] | None:
        if windows.frames == 1 or chance[CUTS] >= self.config.teaching.cut_share:
            return None
        return 1 + int(chance[CUT_AT] * (windows.frames - 1)), int(chance[CUT_TO] * len(windows))

    def counts(self, windows: TokenWindows, chance_T: NDArray[np.float32]) -> Tensor:
        tokens = windows.grid[0] * windows.grid[1]
        if self.config.prior.objective == "next":
            return torch.full((windows.frames,), tokens)
        return cosine_counts(torch.from_numpy(chance_T), tokens)

    def lesson(self, windows: TokenWindows, samples: list[Drawn], share: float, places: Json) -> LessonBatch:
        clips = [self.clip(windows, sample) for sample in samples]
        tokens = windows.grid[0] * windows.grid[1]
        numbers = FIXED + windows.frames * (1 + 3 * tokens)
        draws = np.stack([windows.chance(sample.at.epoch, sample.at.sample, numbers) for sample in samples])
        fixed, chance = torch.from_numpy(draws[:, :FIXED]), split_chance(draws[:, FIXED:], windows.frames, tokens)
        ids_BThw = torch.from_numpy(np.stack([clip.ids for clip in clips]))
        hidden_BTN = torch.zeros(len(clips), windows.frames, tokens, dtype=torch.bool)
        if self.config.prior.objective == "masked":
            hidden_BTN = masks(torch.stack([sample.counts_T for sample in samples]), chance.order_BTN)
        counted_BTN = hidden_BTN.clone() if self.config.prior.objective == "masked" else torch.ones_like(hidden_BTN)
        for row, sample in enumerate(samples):
            counted_BTN[row, : sample.first_asked] = False
        rate_B = rates(self.config.teaching, fixed)
        clean_BTN = spoilt(ids_BThw.flatten(2), rate_B, chance)
        return LessonBatch(
            keys=tuple(clip.key for clip in clips),
            captions=tuple(clip.caption for clip in clips),
            ids=ids_BThw,
            clean=clean_BTN.view(ids_BThw.shape),
            hidden=hidden_BTN.view(ids_BThw.shape),
            counted=counted_BTN.view(ids_BThw.shape),
            share=share,
            rate=rate_B,
            withheld=fixed[:, WITHHOLDS] < self.config.teaching.text_dropout,
            next=places,
        )

    def clip(self, windows: TokenWindows, sample: Drawn) -> Window:
        window, cut = windows.sample(sample.at.epoch, sample.at.sample, sample.start), sample.cut
        return window if cut is None else windows.cut(window, number=cut[1], at=cut[0])

    def is_rollout(self, step: int) -> bool:
        return draw(f"rollout {self.config.training.seed} {step}") < self.phase(step).rollout_share

    def phase(self, step: int) -> PriorPhaseConfig:
        return self.config.phases[self.config.phase_at(step)]


def tokens_that_count(samples: list[Drawn]) -> int:
    return max(1, sum(int(sample.counts_T[sample.first_asked :].sum()) for sample in samples))


def split_chance(draws: NDArray[np.float32], frames: int, tokens: int) -> Chance:
    ratio, order, wrong, instead = torch.split(torch.from_numpy(draws), [frames, *[frames * tokens] * 3], dim=1)
    shape = (len(draws), frames, tokens)
    return Chance(ratio, order.reshape(shape), wrong.reshape(shape), instead.reshape(shape))


def rates(teaching: TeachingConfig, fixed: Tensor) -> Tensor:
    """Of spoilt tokens in each clip's history [B]."""
    return torch.where(fixed[:, SPOILS] < teaching.corruption_share, fixed[:, RATE] * teaching.corruption, 0.0)
