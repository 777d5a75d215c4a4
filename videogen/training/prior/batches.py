"""The batches of a prior's training; what is masked and corrupted is a function of seed, epoch and sample.

The loss of a step is a mean over all tokens that are asked for in it, in every micro-batch of every process. Each
knows their number beforehand, from the random numbers of all samples of the step.
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.objective import BatchDraws, asked_counts, corrupt, frame_masks
from videogen.data import Position
from videogen.data.split import SPLIT_ADVICE, describe_held_out, hash_fraction
from videogen.tokens import TokenSet
from videogen.tokens.windows import TokenWindow, TokenWindows, split_rows
from videogen.training.loop.dataset_report import Used
from videogen.training.loop.stage import Json
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig

RATE, SPOILS, WITHHOLDS, CUTS, CUT_AT, CUT_TO, FIXED = range(7)  # of a sample's chance; its frames and tokens follow


@dataclass(frozen=True, eq=False)
class LessonBatch:
    """This process's part of a micro-batch, on the CPU."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    codes: Tensor  # [B, T, N, K], the truth
    clean: Tensor  # the same as a history, partly corrupted
    known: Tensor | None  # bool [B, T, N]: what frames know of themselves, in the objective that masks
    counted: Tensor  # bool [B, T, N]: the tokens whose loss counts
    control: Tensor | None  # of each latent frame
    share: float  # 1 / tokens that count, in the mean micro-batch of this step
    noise: Tensor  # float [B]: the rate of corruption
    without_text: Tensor  # bool [B]: captions that are dropped
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
            called = describe_held_out((train.label(int(row))[0] for row in held), len(held))
            remedy = f"{SPLIT_ADVICE}; or lower phases.frames"
            self.held_out = TokenWindows(train, held, frames, seed=0, called=called, remedy=remedy)

    @property
    def spec(self) -> TokenSpec:
        return self.windows[0].spec

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

    def for_validation(self) -> list[TokenWindow]:
        """The beginnings of held-out clips, the same at every call."""
        windows = self.held_out
        return [windows.opening(int(row)) for row in windows.spread(self.config.data.validation_clips)]

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

    def counts(self, windows: TokenWindows, ratio_T: NDArray[np.float32]) -> Tensor:
        if not self.masked:
            return torch.full((windows.frames,), windows.spec.tokens)
        return asked_counts(torch.from_numpy(ratio_T), sizes_of(windows.spec))

    @property
    def masked(self) -> bool:
        return self.config.prior.objective == "masked"

    def lesson(self, windows: TokenWindows, samples: list[Drawn], share: float, places: Json) -> LessonBatch:
        clips = [self.clip(windows, sample) for sample in samples]
        tokens = windows.spec.tokens
        numbers = FIXED + windows.frames * (1 + 3 * tokens)
        numbers_BR = np.stack([windows.chance(sample.at.epoch, sample.at.sample, numbers) for sample in samples])
        fixed, draws = (
            torch.from_numpy(numbers_BR[:, :FIXED]),
            split_draws(numbers_BR[:, FIXED:], windows.frames, tokens),
        )
        codes_BTNK = torch.from_numpy(np.stack([clip.codes for clip in clips]))
        known, counted_BTN = None, torch.ones(codes_BTNK.shape[:3], dtype=torch.bool)
        if self.masked:
            known, counted_BTN = frame_masks(draws.ratio_BT, draws.order_BTN, sizes_of(windows.spec))
        for row, sample in enumerate(samples):
            counted_BTN[row, : sample.first_asked] = False
        noise_B = noise_rates(self.config.teaching, fixed)
        controls = [clip.control for clip in clips if clip.control is not None]
        return LessonBatch(
            keys=tuple(clip.key for clip in clips),
            captions=tuple(clip.caption for clip in clips),
            codes=codes_BTNK,
            clean=corrupt(codes_BTNK, noise_B, draws),
            known=known,
            counted=counted_BTN,
            control=torch.from_numpy(np.stack(controls)) if controls else None,
            share=share,
            noise=noise_B,
            without_text=fixed[:, WITHHOLDS] < self.config.teaching.text_dropout,
            next=places,
        )

    def clip(self, windows: TokenWindows, sample: Drawn) -> TokenWindow:
        window, cut = windows.sample(sample.at.epoch, sample.at.sample, sample.start), sample.cut
        return window if cut is None else windows.cut(window, number=cut[1], at=cut[0])

    def is_rollout(self, step: int) -> bool:
        return hash_fraction(f"rollout {self.config.training.seed} {step}") < self.phase(step).rollout_share

    def phase(self, step: int) -> PriorPhaseConfig:
        return self.config.phases[self.config.phase_at(step)]


def tokens_that_count(samples: list[Drawn]) -> int:
    return max(1, sum(int(sample.counts_T[sample.first_asked :].sum()) for sample in samples))


def split_draws(numbers_BR: NDArray[np.float32], frames: int, tokens: int) -> BatchDraws:
    ratio, order, wrong, source = torch.split(torch.from_numpy(numbers_BR), [frames, *[frames * tokens] * 3], dim=1)
    shape = (len(numbers_BR), frames, tokens)
    return BatchDraws(ratio, order.reshape(shape), wrong.reshape(shape), source.reshape(shape))


def sizes_of(spec: TokenSpec) -> tuple[int, ...]:
    """The tokens of each group."""
    return tuple(group.tokens for group in spec.groups)


def noise_rates(teaching: TeachingConfig, fixed: Tensor) -> Tensor:
    """The rate of corruption of each clip's history [B]."""
    return torch.where(fixed[:, SPOILS] < teaching.corruption_share, fixed[:, RATE] * teaching.corruption, 0.0)
