"""The schema `tokenizer` of configuration files, for `videogen train tokenizer`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tokenizer.losses.lpips import BACKBONES, LPIPSConfig
from tokenizer.losses.objective import LossConfig
from tokenizer.networks.kinds import TokenizerConfig
from videogen.conditioning.config import TextConfig
from videogen.evaluation.tokenizer.metrics import WINDOW
from videogen.storage import Location
from videogen.training.loop.config import OptimizerConfig, TrainingConfig

COLORS = 3


@dataclass(frozen=True)
class DataConfig:
    """Indexed sets of clips. Without a set for validation, a share of the training set is held out by key."""

    train: Location
    fps: float
    validation: Location | None = None
    validation_share: float = 0.02  # of the training set, if there is no set for validation
    validation_clips: int = 64  # at most
    flip: bool = False  # mirror half of the clips; wrong where captions say left and right
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
    """From a step on: the size and length of clips, the share of image steps, and what is frozen."""

    from_step: int
    height: int
    width: int
    frames: int
    image_share: float = 0.0  # of the steps: single frames, which the tokenizer encodes as images
    image_batches: int = 4  # an image batch is so many times as large
    encoder_frozen: bool = False  # features stay the same while a quantizer and a decoder for them are learned
    decoder_only: bool = False  # encoder and quantizer are frozen: tokens stay the same while the decoder improves

    def __post_init__(self) -> None:
        for name, least in (("from_step", 0), ("height", 1), ("width", 1), ("frames", 1), ("image_batches", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.image_share < 1:
            raise ValueError(f"image_share is {self.image_share:g}; it must lie in [0, 1)")
        if self.encoder_frozen and self.decoder_only:
            raise ValueError("encoder_frozen and decoder_only exclude each other; the second freezes the encoder too")

    @property
    def freezes_encoder(self) -> bool:
        return self.encoder_frozen or self.decoder_only


@dataclass(frozen=True)
class TokenizerTrainingConfig:
    """The configuration of a run of stage one."""

    data: DataConfig
    phases: tuple[PhaseConfig, ...]
    tokenizer: TokenizerConfig
    loss: LossConfig
    optimizer: OptimizerConfig
    training: TrainingConfig
    discriminator_optimizer: OptimizerConfig | None = None
    text: TextConfig | None = None  # how captions are read, for tokenizer.condition
    init_from: Path | None = None  # a model or run whose weights are the first, such as one to finetune

    RENAMED: ClassVar[dict[str, str]] = {"begin_with": "init_from"}

    def __post_init__(self) -> None:
        starts = [phase.from_step for phase in self.phases]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"phases begin at {starts}; the first begins at step 0, each other one later")
        for phase in self.phases:
            multiple = self.tokenizer.size_multiple
            if phase.height % multiple or phase.width % multiple:
                size = f"{phase.height} x {phase.width}"
                raise ValueError(f"phases hold clips of {size}; both must be multiples of {multiple}")
        for number, phase in enumerate(self.phases):
            for user, least in self.smallest_sides(number).items():
                if min(phase.height, phase.width) < least:
                    size = f"{phase.height} x {phase.width}"
                    raise ValueError(f"phases hold clips of {size}; {user} needs sides of at least {least}")
        if self.tokenizer.channels != COLORS:
            raise ValueError(f"tokenizer has channels = {self.tokenizer.channels}; videos have {COLORS}")
        if (self.tokenizer.condition is None) != (self.text is None):
            raise ValueError("tokenizer.condition and text go together: give both or neither")
        frozen = [(phase.freezes_encoder, phase.decoder_only) for phase in self.phases]
        if frozen != sorted(frozen):
            raise ValueError(
                "phases train the encoder or the quantizer again after one with encoder_frozen or decoder_only; tokens "
                "would change again"
            )
        if (self.loss.adversarial is None) != (self.discriminator_optimizer is None):
            raise ValueError("discriminator_optimizer and loss.adversarial go together: give both or neither")
        if self.loss.adversarial is not None and self.loss.adversarial.discriminator.channels != COLORS:
            channels = self.loss.adversarial.discriminator.channels
            raise ValueError(f"loss has a discriminator with channels = {channels}; videos have {COLORS}")

    def smallest_sides(self, phase: int) -> dict[str, int]:
        """The smallest side in pixels that each part needs in this phase."""
        last, adversarial = phase + 1 == len(self.phases), self.loss.adversarial
        needed = {"validation (SSIM)": WINDOW} if last else {}
        if isinstance(self.loss.perceptual, LPIPSConfig):
            needed["LPIPS"] = min(backbone.smallest for backbone in BACKBONES.values())
        if adversarial is not None and (last or self.phases[phase + 1].from_step > adversarial.start_step):
            needed["the discriminator"] = adversarial.discriminator.smallest_side
        return needed

    def phase_at(self, step: int) -> int:
        """The number of the phase of this step, both counted from 0."""
        return sum(phase.from_step <= step for phase in self.phases) - 1
