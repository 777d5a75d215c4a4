"""What `videogen train tokenizer` is told: the schema `tokenizer` of configuration files."""

import math
from dataclasses import dataclass
from pathlib import Path

from tokenizer.losses.objective import LossConfig
from tokenizer.losses.perceptual import LPIPS, LPIPSConfig
from tokenizer.networks.config import TokenizerConfig
from videogen.evaluation.tokenizer.metrics import WINDOW
from videogen.training.loop.config import OptimizerConfig, TrainingConfig

COLOURS = 3


@dataclass(frozen=True)
class DataConfig:
    """Indexed sets of clips. Without a set for validation, a share of the training set's keys is kept for it."""

    train: Path
    fps: float
    validation: Path | None = None
    validation_share: float = 0.02  # of the training set, where there is no other
    validation_clips: int = 64  # at most so many are looked at
    flip: bool = False  # mirror half of the clips; not if captions will say left or right
    workers: int = 2  # threads that decode
    max_bad_fraction: float = 0.05  # more refused clips than this stop the run

    def __post_init__(self) -> None:
        if not 0 < self.fps < math.inf:
            raise ValueError(f"fps is {self.fps:g}; it must be above 0")
        if not 0 <= self.max_bad_fraction <= 1:
            raise ValueError(f"max_bad_fraction is {self.max_bad_fraction:g}; it is a share, from 0 to 1")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share:g}; it must lie between 0 and 1")
        if self.validation_clips < 1 or self.workers < 1:
            name = "validation_clips" if self.validation_clips < 1 else "workers"
            raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class PhaseConfig:
    """From a step on: the clips' size and length, how many steps see images instead, and whether the encoder rests."""

    from_step: int
    height: int
    width: int
    frames: int
    image_share: float = 0.0  # of the steps: single frames, which are images to a tokenizer
    image_batches: int = 4  # an image batch holds so many times as many
    decoder_only: bool = False  # tokens stay what they are while pixels still improve

    def __post_init__(self) -> None:
        for name, least in (("from_step", 0), ("height", 1), ("width", 1), ("frames", 1), ("image_batches", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.image_share < 1:
            raise ValueError(f"image_share is {self.image_share:g}; it must lie in [0, 1)")


@dataclass(frozen=True)
class TokenizerTrainingConfig:
    """Everything about a run of stage one."""

    data: DataConfig
    phases: tuple[PhaseConfig, ...]
    tokenizer: TokenizerConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    training: TrainingConfig
    discriminator_optimizer: OptimizerConfig | None = None
    begin_with: Path | None = None  # a model whose weights the run begins with, such as one to be tuned to other videos

    def __post_init__(self) -> None:
        begins = [phase.from_step for phase in self.phases]
        if not begins or begins[0] != 0 or begins != sorted(set(begins)):
            raise ValueError(f"phases begin at {begins}; the first begins at step 0, each other one later")
        for phase in self.phases:
            if phase.height % self.tokenizer.f_s or phase.width % self.tokenizer.f_s:
                size = f"{phase.height} x {phase.width}"
                raise ValueError(f"phases hold clips of {size}; both must be multiples of f_s = {self.tokenizer.f_s}")
        for number, phase in enumerate(self.phases):
            for who, least in self.smallest_sides(number).items():
                if min(phase.height, phase.width) < least:
                    size = f"{phase.height} x {phase.width}"
                    raise ValueError(f"phases hold clips of {size}; {who} needs sides of at least {least}")
        if self.tokenizer.channels != COLOURS:
            raise ValueError(f"tokenizer has channels = {self.tokenizer.channels}; videos have {COLOURS}")
        resting = [phase.decoder_only for phase in self.phases]
        if resting != sorted(resting):
            raise ValueError(
                "phases train the encoder again after one with decoder_only; tokens would change once more"
            )
        if (self.loss.adversarial is None) != (self.discriminator_optimizer is None):
            raise ValueError("discriminator_optimizer and loss.adversarial go together: give both or neither")

        if self.loss.adversarial is not None and self.loss.adversarial.discriminator.channels != COLOURS:
            channels = self.loss.adversarial.discriminator.channels
            raise ValueError(f"loss has a discriminator with channels = {channels}; videos have {COLOURS}")

    def smallest_sides(self, phase: int) -> dict[str, int]:
        """Who needs how many pixels of a side in this phase."""
        last, critic = phase + 1 == len(self.phases), self.loss.adversarial
        needed = {"validation (SSIM)": WINDOW} if last else {}
        if isinstance(self.loss.perceptual, LPIPSConfig):
            needed["LPIPS"] = LPIPS.smallest
        if critic is not None and (last or self.phases[phase + 1].from_step > critic.start_step):
            needed["the discriminator"] = critic.discriminator.smallest_side
        return needed

    def phase_at(self, step: int) -> int:
        """The number of the phase that this step, counted from 0, belongs to."""
        return sum(phase.from_step <= step for phase in self.phases) - 1
