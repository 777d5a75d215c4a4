"""The batches of stage two. What is masked, corrupted and dropped depends on seed, epoch and sample alone.

The loss of a step is a mean over all predicted tokens of the step, in every micro-batch of every process. Each process
knows their number beforehand, because it draws the random numbers of all samples of the step.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.control import drop_control
from interfaces.tokens import TokenSpec
from prior.objective import BatchDraws, corrupt, frame_masks, predicted_counts
from videogen.data import Position
from videogen.data.split import SPLIT_ADVICE, describe_held_out, hash_fraction
from videogen.tokens import TokenSet
from videogen.tokens.windows import TokenWindow, TokenWindows, split_rows
from videogen.training.loop.dataset_report import DatasetReport
from videogen.training.loop.stage import Json
from videogen.training.prior.config import PriorPhaseConfig, PriorTrainingConfig, TeachingConfig

CountTokens = Callable[[Sequence[str]], int]
# the first random numbers of a sample; those of its frames and tokens follow
RATE, CORRUPT, DROP_TEXT, SCENE_CUT, CUT_FRAME, CUT_CLIP, FIXED = range(7)
# the last ones: fewer are the beginning of more, so a new one leaves the others as they are
DROP_CONTROL, LAST = range(2)


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """This process's part of a micro-batch, on the CPU."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    codes: Tensor  # [B, T, N, K]: the targets
    clean: Tensor  # the same, partly corrupted: what later frames see of them
    known: Tensor | None  # bool [B, T, N]: what a frame sees of itself, for the masked objective
    predicted: Tensor  # bool [B, T, N]: tokens that the loss is about
    control: Tensor | None  # of each latent frame; absent in clips that are trained without
    loss_scale: float  # 1 / predicted tokens of the average micro-batch of this step
    noise: Tensor  # float [B]: the rate of corrupted tokens in `clean`
    drop_text: Tensor  # bool [B]
    captioned: Tensor  # bool [B]: clips whose caption the prior learns to write
    caption_scale: float  # 1 / predicted caption tokens of the average micro-batch of this step; 0 if it has none
    next_position: Json


class SampledWindow(NamedTuple):
    """The random choices of a sample. All processes draw them to count predicted tokens; one makes the window."""

    at: Position
    start: int  # of its window
    cut: tuple[int, int] | None  # the frame at which it cuts to another clip, and that clip's number
    captioned: bool  # its caption is written after the frames, not read before them
    counts_T: Tensor  # predicted tokens of each frame, where the frame is predicted at all

    @property
    def first_predicted(self) -> int:
        """The first predicted frame; the frames before it are history alone."""
        if self.cut is not None:
            return self.cut[0]
        return 0 if self.start == 0 else 1


class TokenBatches:
    """The data of a run: endless batches to train on, and clips to validate with."""

    def __init__(self, config: PriorTrainingConfig, train: TokenSet, validation: TokenSet | None):
        self.config = config
        rows, held = (np.arange(len(train)), None) if validation else split_rows(train, config.data.validation_share)
        seed, start_share = config.training.seed, config.data.clip_start_share
        self.windows = [
            TokenWindows(train, rows, phase.frames, seed, start_share, called="clips to train on")
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

    def report(self) -> DatasetReport:
        """For the last phase, which validation is about; refused clips have no tokens."""
        last, held = self.windows[-1], self.held_out
        return DatasetReport(
            train=len(last),
            held_out=len(held),
            requested=self.config.data.validation_clips,
            refused=0,
            short=last.short + held.short,
            min_length=f"{last.frames} latent frames",
        )

    def validation_windows(self) -> list[TokenWindow]:
        """The first frames of held-out clips, the same at every call."""
        windows = self.held_out
        return [windows.opening(int(row)) for row in windows.spread(self.config.data.validation_clips)]

    def batches(
        self,
        position: Json,
        step: int,
        accumulation: int,
        rank: int,
        world_size: int,
        count_tokens: CountTokens = lambda captions: 0,
    ) -> Generator[TokenBatch]:
        """`count_tokens` gives the number of tokens that a prior with captions has to write for these captions."""
        places, size = dict(position), self.config.training.batch_size
        while True:
            number = self.config.phase_at(step)
            windows, name = self.windows[number], f"phase {number}"
            rollout = self.is_rollout(step)
            at = Position(**places.get(name, {}))
            samples = [self.sample(windows, at.after(offset, len(windows)), rollout) for offset in range(size)]
            parts = accumulation * world_size
            scale = parts / num_predicted_tokens(samples)
            captions = [windows.caption(each.at.epoch, each.at.sample) for each in samples if each.captioned]
            caption_tokens = count_tokens(captions) if captions else 0
            caption_scale = parts / caption_tokens if caption_tokens else 0.0
            for part in range(accumulation):
                micro = samples[part * size // accumulation : (part + 1) * size // accumulation]
                mine = micro[rank * len(micro) // world_size : (rank + 1) * len(micro) // world_size]
                places = {**places, name: asdict(micro[-1].at.after(1, len(windows)))}
                yield self.batch(windows, mine, scale, caption_scale, places)
            step += 1

    def sample(self, windows: TokenWindows, at: Position, rollout: bool) -> SampledWindow:
        """A rollout has one caption, so no scene cut; nothing can be written about it, because it is not the clip."""
        numbers = windows.uniform(at.epoch, at.sample, FIXED + windows.frames)
        captioned = not rollout and self.is_captioned(at)
        cut = None if rollout or captioned else self.scene_cut(windows, numbers[:FIXED].astype(float))
        counts_T = self.counts(windows, numbers[FIXED:])
        return SampledWindow(at, windows.start(at.epoch, at.sample), cut, captioned, counts_T)

    def is_captioned(self, at: Position) -> bool:
        seed, share = self.config.training.seed, self.config.teaching.caption_share
        return share > 0 and hash_fraction(f"caption {seed} {at.epoch} {at.sample}") < share

    def scene_cut(self, windows: TokenWindows, numbers: NDArray[np.float64]) -> tuple[int, int] | None:
        if windows.frames == 1 or numbers[SCENE_CUT] >= self.config.teaching.scene_cut_probability:
            return None
        return 1 + int(numbers[CUT_FRAME] * (windows.frames - 1)), int(numbers[CUT_CLIP] * len(windows))

    def counts(self, windows: TokenWindows, ratio_T: NDArray[np.float32]) -> Tensor:
        if not self.masked:
            return torch.full((windows.frames,), windows.spec.tokens)
        return predicted_counts(torch.from_numpy(ratio_T), sizes_of(windows.spec))

    @property
    def masked(self) -> bool:
        return self.config.prior.objective == "masked"

    def batch(
        self, windows: TokenWindows, samples: list[SampledWindow], scale: float, caption_scale: float, places: Json
    ) -> TokenBatch:
        clips = [self.window(windows, sample) for sample in samples]
        tokens = windows.spec.tokens
        numbers = FIXED + windows.frames * (1 + 3 * tokens)
        numbers_BR = np.stack(
            [windows.uniform(sample.at.epoch, sample.at.sample, numbers + LAST) for sample in samples]
        )
        fixed, draws, last = (
            torch.from_numpy(numbers_BR[:, :FIXED]),
            split_draws(numbers_BR[:, FIXED:numbers], windows.frames, tokens),
            torch.from_numpy(numbers_BR[:, numbers:]),
        )
        codes_BTNK = torch.from_numpy(np.stack([clip.codes for clip in clips]))
        known, predicted_BTN = None, torch.ones(codes_BTNK.shape[:3], dtype=torch.bool)
        if self.masked:
            known, predicted_BTN = frame_masks(draws.ratio_BT, draws.order_BTN, sizes_of(windows.spec))
        for row, sample in enumerate(samples):
            predicted_BTN[row, : sample.first_predicted] = False
        captioned_B = torch.tensor([sample.captioned for sample in samples])
        noise_B = noise_rates(self.config.teaching, fixed).masked_fill(captioned_B, 0.0)
        controls = [clip.control for clip in clips if clip.control is not None]
        dropped_B = last[:, DROP_CONTROL] < self.config.teaching.control_dropout
        return TokenBatch(
            keys=tuple(clip.key for clip in clips),
            captions=tuple(clip.caption for clip in clips),
            codes=codes_BTNK,
            clean=corrupt(codes_BTNK, noise_B, draws, sizes_of(windows.spec)),
            known=known,
            predicted=predicted_BTN,
            control=drop_control(torch.from_numpy(np.stack(controls)), dropped_B) if controls else None,
            loss_scale=scale,
            noise=noise_B,
            drop_text=(fixed[:, DROP_TEXT] < self.config.teaching.text_dropout) | captioned_B,
            captioned=captioned_B,
            caption_scale=caption_scale,
            next_position=places,
        )

    def window(self, windows: TokenWindows, sample: SampledWindow) -> TokenWindow:
        window, cut = windows.sample(sample.at.epoch, sample.at.sample, sample.start), sample.cut
        return window if cut is None else windows.cut(window, number=cut[1], at=cut[0])

    def is_rollout(self, step: int) -> bool:
        return hash_fraction(f"rollout {self.config.training.seed} {step}") < self.phase(step).rollout_share

    def phase(self, step: int) -> PriorPhaseConfig:
        return self.config.phases[self.config.phase_at(step)]


def num_predicted_tokens(samples: list[SampledWindow]) -> int:
    return max(1, sum(int(sample.counts_T[sample.first_predicted :].sum()) for sample in samples))


def split_draws(numbers_BR: NDArray[np.float32], frames: int, tokens: int) -> BatchDraws:
    ratio, order, wrong, source = torch.split(torch.from_numpy(numbers_BR), [frames, *[frames * tokens] * 3], dim=1)
    shape = (len(numbers_BR), frames, tokens)
    return BatchDraws(ratio, order.reshape(shape), wrong.reshape(shape), source.reshape(shape))


def sizes_of(spec: TokenSpec) -> tuple[int, ...]:
    """The tokens of each group."""
    return tuple(group.tokens for group in spec.groups)


def noise_rates(teaching: TeachingConfig, fixed: Tensor) -> Tensor:
    """The rate of corrupted tokens in each clip's history [B]."""
    return torch.where(fixed[:, CORRUPT] < teaching.corruption_share, fixed[:, RATE] * teaching.corruption, 0.0)
