"""The configuration that both stages share: optimizer and training loop."""

from dataclasses import dataclass
from typing import Literal

from videogen.storage import Location, RemotePath
from videogen.training.loop.schedule import Shape
from videogen.training.records.services import Service

CHANGEABLE = frozenset(
    f"training.{name}"
    for name in (
        *("steps", "log_every", "validate_every", "sample_every", "checkpoint_every", "keep", "keep_every"),
        *("trackers", "mirror"),
    )
)  # keys that may differ when a run is resumed


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer of one network and its learning rate schedule. Only matrices and kernels have weight decay."""

    learning_rate: float
    warmup: int
    schedule: Shape
    algorithm: Literal["adamw", "muon"] = "adamw"
    floor: float = 0.0  # of the cosine, as a share of the learning rate
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip: float | None = 1.0  # the largest norm of a gradient; null: unlimited

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate is {self.learning_rate:g}; it must lie between 0 and 1")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is {self.floor:g}; it is a share, from 0 to 1")
        if self.warmup < 0 or self.weight_decay < 0:
            raise ValueError(f"{'warmup' if self.warmup < 0 else 'weight_decay'} must not be negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {list(self.betas)}; both must lie in [0, 1)")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip is {self.clip:g}; it must be above 0, or null")


@dataclass(frozen=True)
class TrainingConfig:
    """Steps, batch size and intervals of the loop. An interval of 0 means only at the end."""

    steps: int
    batch_size: int  # clips a step, over all micro-batches and processes
    accumulation: int = 1  # micro-batches a step: less memory; losses over a batch (see docs) see one micro-batch
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    deterministic: bool = False  # on a GPU: slower, but the same bits every time; a CPU is deterministic anyway
    average_decay: float = 0.999
    log_every: int = 20
    validate_every: int = 500
    sample_every: int = 500
    checkpoint_every: int = 500
    keep: int = 2  # how many of the last checkpoints stay
    keep_every: int = 0  # besides those, keep one every so many steps
    trackers: tuple[Service, ...] = ()  # that get metrics and samples, besides TensorBoard where that is installed
    mirror: Location | None = None  # a URL, below which each checkpoint is copied while training goes on

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("validate_every", "sample_every", "checkpoint_every", "keep_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed is {self.seed}; it must lie in 0 .. 2^64 - 1")
        if self.batch_size % self.accumulation:
            raise ValueError(f"accumulation is {self.accumulation}; it must divide batch_size, {self.batch_size}")
        if self.mirror is not None and not isinstance(self.mirror, RemotePath):
            raise ValueError(f"mirror is {self.mirror}; it must be a URL, such as s3://bucket/runs")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay is {self.average_decay:g}; it must lie in [0, 1)")
