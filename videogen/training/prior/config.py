"""What `videogen train prior` is told: the schema `prior` of configuration files."""

from dataclasses import dataclass
from pathlib import Path

from prior.attention import Kernel
from prior.config import PriorShape
from sampling.config import SamplerConfig, incompatibility
from videogen.conditioning.config import TextConfig
from videogen.training.loop.config import OptimizerConfig, TrainingConfig


@dataclass(frozen=True)
class TokenDataConfig:
    """Folders of tokens that `videogen encode` made, or indexed sets of clips, which are encoded first."""

    train: Path
    validation: Path | None = None
    validation_share: float = 0.02  # of the training set, where there is no other
    validation_clips: int = 128  # at most so many are looked at
    opening_share: float = 0.5  # of the windows that begin where their clip begins; the others begin anywhere

    def __post_init__(self) -> None:
        if not 0 <= self.opening_share <= 1:
            raise ValueError(f"opening_share is {self.opening_share:g}; it must lie in [0, 1]")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share:g}; it must lie between 0 and 1")
        if self.validation_clips < 1:
            raise ValueError(f"validation_clips is {self.validation_clips}; it must be at least 1")


@dataclass(frozen=True)
class PriorPhaseConfig:
    """From a step on: how many latent frames a clip has, and how often its history is the model's own rollout."""

    from_step: int
    frames: int
    rollout_share: float = 0.0  # of the steps: what came before a frame is what the model made of it
    rollout_keep: int = 1  # so many true frames begin such a rollout
    rollout_steps: int = 4  # proposals a frame

    def __post_init__(self) -> None:
        for name, least in (("from_step", 0), ("frames", 1), ("rollout_keep", 0), ("rollout_steps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 <= self.rollout_share <= 1:
            raise ValueError(f"rollout_share is {self.rollout_share:g}; it must lie in [0, 1]")


@dataclass(frozen=True)
class TeachingConfig:
    """How lessons are made."""

    label_smoothing: float = 0.0
    corruption: float = 0.2  # the highest rate at which a history is spoilt; the model is told the rate
    corruption_share: float = 0.5  # of the clips whose history is spoilt at all
    text_dropout: float = 0.1  # of the clips whose caption is withheld, for guidance
    cut_share: float = 0.0  # of the clips that turn into another one, told its caption: how a new prompt takes effect

    def __post_init__(self) -> None:
        for name in ("label_smoothing", "corruption", "corruption_share", "text_dropout", "cut_share"):
            if not 0 <= getattr(self, name) < 1 and not (name == "corruption_share" and getattr(self, name) == 1):
                raise ValueError(f"{name} is {getattr(self, name):g}; it must lie in [0, 1)")


@dataclass(frozen=True)
class PriorTrainingConfig:
    """Everything about a run of stage two."""

    data: TokenDataConfig
    phases: tuple[PriorPhaseConfig, ...]
    prior: PriorShape
    text: TextConfig | None  # null: neither captions nor the rate of corruption are told
    teaching: TeachingConfig
    optimizer: OptimizerConfig
    training: TrainingConfig
    kernel: Kernel = "auto"
    recompute: bool = False  # activations of a block are made again in the backward pass: less memory, a third slower
    generation: SamplerConfig | None = None  # how the model is to be asked: its generation_config.json
    begin_with: Path | None = None  # a model whose prior's weights the run begins with, of either objective
    tokenizer_preset: str | None = None  # whose tokens it is meant for: a dry run takes shapes from it; trains nothing
    init_from: Path | None = None  # a Llama-family checkpoint in safetensors: the blocks begin with its weights

    def __post_init__(self) -> None:
        begins = [phase.from_step for phase in self.phases]
        if not begins or begins[0] != 0 or begins != sorted(set(begins)):
            raise ValueError(f"phases begin at {begins}; the first begins at step 0, each other one later")
        if self.text is None and self.teaching.corruption > 0:
            raise ValueError("teaching.corruption needs text, beside which the rate is told; set it to 0")
        if self.prior.objective == "autoregressive" and any(phase.rollout_share for phase in self.phases):
            raise ValueError("phases with rollout_share are for the objective 'masked'")
        if self.generation is not None and (why := incompatibility(self.generation.order, self.prior.objective)):
            raise ValueError(f"generation does not suit prior.objective: {why}")
        if self.begin_with is not None and self.init_from is not None:
            raise ValueError("begin_with and init_from are two beginnings; give one")

    def phase_at(self, step: int) -> int:
        """The number of the phase that this step, counted from 0, belongs to."""
        return sum(phase.from_step <= step for phase in self.phases) - 1
