"""The schema `prior` of configuration files, for `videogen train prior`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from prior.attention import Kernel
from prior.kinds import AnyPriorShape
from sampling.config import SamplerConfig, incompatibility
from videogen.conditioning.config import BPEConfig, TextConfig
from videogen.storage import Location
from videogen.training.loop.config import OptimizerConfig, TrainingConfig


@dataclass(frozen=True)
class TokenDataConfig:
    """Token folders of `videogen encode`, or indexed sets of clips, which are encoded first."""

    train: Location
    validation: Location | None = None
    validation_share: float = 0.02  # of the training set, if there is no set for validation
    validation_clips: int = 128  # at most
    clip_start_share: float = 0.5  # of windows that start where their clip starts; the others start anywhere

    RENAMED: ClassVar[dict[str, str]] = {"opening_share": "clip_start_share"}

    def __post_init__(self) -> None:
        if not 0 <= self.clip_start_share <= 1:
            raise ValueError(f"clip_start_share is {self.clip_start_share:g}; it must lie in [0, 1]")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share:g}; it must lie between 0 and 1")
        if self.validation_clips < 1:
            raise ValueError(f"validation_clips is {self.validation_clips}; it must be at least 1")


@dataclass(frozen=True)
class PriorPhaseConfig:
    """From a step on: how many latent frames a clip has, and how often its history is a rollout of the model."""

    from_step: int
    frames: int
    rollout_share: float = 0.0  # of the steps: the history is what the model makes of the first frame
    rollout_steps: int = 4  # sampling steps a frame

    def __post_init__(self) -> None:
        for name, least in (("from_step", 0), ("frames", 1), ("rollout_steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.rollout_share <= 1:
            raise ValueError(f"rollout_share is {self.rollout_share:g}; it must lie in [0, 1]")


@dataclass(frozen=True)
class TeachingConfig:
    """What teacher forcing changes about a clip and its caption."""

    label_smoothing: float = 0.0
    corruption: float = 0.2  # the highest share of corrupted tokens in a history; the model is given the share
    corruption_share: float = 0.5  # of clips with a corrupted history
    text_dropout: float = 0.1  # of clips without their caption, for guidance
    control_dropout: float = 0.0  # of clips without their control: for guidance, and for videos without a control
    scene_cut_probability: float = 0.0  # of clips that cut to another one, with its caption: teaches prompt changes
    caption_share: float = 0.0  # of the samples, whose caption is written instead of read, by a prior with captions
    caption_weight: float = 1.0  # of the mean loss of a caption token, relative to that of a token of video

    RENAMED: ClassVar[dict[str, str]] = {"cut_share": "scene_cut_probability"}

    def __post_init__(self) -> None:
        shares = ("label_smoothing", "corruption", "corruption_share", "text_dropout", "scene_cut_probability")
        for name in (*shares, "control_dropout"):
            if not 0 <= getattr(self, name) < 1 and not (name == "corruption_share" and getattr(self, name) == 1):
                raise ValueError(f"{name} is {getattr(self, name):g}; it must lie in [0, 1)")
        if not 0 <= self.caption_share <= 1:
            raise ValueError(f"caption_share is {self.caption_share:g}; it must lie in [0, 1]")
        if not 0 < self.caption_weight < math.inf:
            raise ValueError(f"caption_weight is {self.caption_weight:g}; it must be above 0")


@dataclass(frozen=True)
class DistillationConfig:
    """The prior learns to need few proposals a latent frame: from a teacher, on latent frames that it makes itself."""

    teacher: Path  # a model or run, for the same tokens and captions
    proposals: int = 2  # that the student makes of a latent frame
    guidance: bool = True  # the teacher is guided as its model is sampled; the student then needs no guidance
    reverse: float = 0.0  # 0: all that the teacher does is covered; towards 1: what it does most is preferred
    critic_optimizer: OptimizerConfig | None = None  # null: that of the student

    def __post_init__(self) -> None:
        if self.proposals < 1:
            raise ValueError(f"proposals = {self.proposals} must be at least 1")
        if not 0 <= self.reverse <= 1:
            raise ValueError(f"reverse = {self.reverse:g} must lie in [0, 1]")


@dataclass(frozen=True)
class VariationalConfig:
    """The prior learns to need few proposals a latent frame: from the clips, with a posterior of its mask noise."""

    proposals: int = 2
    noise_weight: float = 1.0  # of the nats of the noise in the loss of the posterior; 1 minimises a bound of the nats
    noise_warmup: int = (
        500  # steps in which that weight rises from 0, slowly at first: the noise must be of use by then
    )
    posterior_optimizer: OptimizerConfig | None = None  # null: that of the prior

    def __post_init__(self) -> None:
        if self.proposals < 1:
            raise ValueError(f"proposals = {self.proposals} must be at least 1")
        if not 0 < self.noise_weight < math.inf:
            raise ValueError(f"noise_weight = {self.noise_weight:g} must be above 0")
        if self.noise_warmup < 0:
            raise ValueError(f"noise_warmup = {self.noise_warmup} must not be negative")

    def noise_weight_at(self, step: int) -> float:
        return self.noise_weight * min(1.0, (step + 1) / max(1, self.noise_warmup)) ** 2


@dataclass(frozen=True)
class PriorTrainingConfig:
    """The configuration of a run of stage two."""

    data: TokenDataConfig
    phases: tuple[PriorPhaseConfig, ...]
    prior: AnyPriorShape
    text: TextConfig | None  # null: the model gets neither captions nor the share of corruption
    teaching: TeachingConfig
    optimizer: OptimizerConfig
    training: TrainingConfig
    kernel: Kernel = "auto"
    recompute: bool = False  # activation checkpointing of each block: less memory, a third slower
    generation: SamplerConfig | None = None  # default sampling settings, for generation_config.json
    init_from: Path | None = None  # a model or run: its prior's weights are the first, whatever its objective
    distillation: DistillationConfig | None = None  # train a student of another prior, for fewer proposals
    variational: VariationalConfig | None = None  # train mask noise with a posterior, for fewer proposals
    init_from_llama: Path | None = None  # a Llama checkpoint in safetensors: its blocks are the first weights
    tokenizer_preset: str | None = None  # the tokenizer that a dry run takes shapes from; training ignores it

    RENAMED: ClassVar[dict[str, str]] = {"begin_with": "init_from"}

    def __post_init__(self) -> None:
        starts = [phase.from_step for phase in self.phases]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"phases begin at {starts}; the first begins at step 0, each other one later")
        if self.text is None and self.teaching.corruption > 0:
            raise ValueError("teaching.corruption needs text, which carries its share; set it to 0")
        if self.prior.captions and not isinstance(self.text, BPEConfig):
            raise ValueError("prior.captions needs text of kind bpe: a caption is written in ids of its vocabulary")
        if self.prior.captions != (self.teaching.caption_share > 0):
            raise ValueError(
                "prior.captions and teaching.caption_share belong together: a prior with captions learns to write them "
                "from that share of the samples, such as 0.25"
            )
        if self.prior.objective == "autoregressive" and any(phase.rollout_share for phase in self.phases):
            raise ValueError("phases with rollout_share are for the objective 'masked'")
        shape = self.prior.objective, self.prior.head.likelihood
        if self.generation is not None and (why := incompatibility(self.generation, *shape)):
            raise ValueError(f"generation does not suit prior: {why}")
        if self.distillation is not None and self.prior.objective != "masked":
            raise ValueError(f"distillation needs prior.objective masked; it is {self.prior.objective}")
        if self.distillation is not None and not self.prior.head.likelihood:
            raise ValueError(
                f"distillation compares probabilities of tokens; prior.head {self.prior.head.kind} has none"
            )
        if self.distillation is not None and self.prior.captions:
            raise ValueError("distillation needs a prior and a teacher that write no captions")
        if self.distillation is not None and self.init_from is None:
            raise ValueError("distillation needs init_from: the student begins as a prior, usually its teacher")
        if self.variational is not None:
            check_variational(self.prior, self.distillation is not None)
        if self.init_from is not None and self.init_from_llama is not None:
            raise ValueError("init_from and init_from_llama exclude each other; give one")

    def phase_at(self, step: int) -> int:
        """The number of the phase of this step, both counted from 0."""
        return sum(phase.from_step <= step for phase in self.phases) - 1


def check_variational(prior: AnyPriorShape, distilled: bool) -> None:
    """ValueError for a prior that cannot be trained with a posterior of its mask noise."""
    if distilled:
        raise ValueError("variational and distillation exclude each other; give one")
    if not prior.mask_noise:
        raise ValueError("variational trains the mask noise of a prior; set prior.mask_noise, such as 8")
    if not prior.head.likelihood:
        raise ValueError(f"variational needs probabilities of tokens; prior.head {prior.head.kind} has none")
    if prior.captions:
        raise ValueError("variational needs a prior that writes no captions")
