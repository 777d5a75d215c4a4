"""What the process of one training is asked to do, as a file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.checkpoint import as_json
from videogen.config.serialization import from_json

if TYPE_CHECKING:
    from videogen.training.prior.config import PriorTrainingConfig
    from videogen.training.tokenizer.config import TokenizerTrainingConfig

JOB, BUDGET, TRAINING, FIGURES = "job.json", "budget.json", "training.json", "figures.json"
RUN, PICTURES = "run", "pictures"


@dataclass(frozen=True)
class PriorJob:
    """Train a prior on the tokens of the variant, once with all of the budget and once with half of it."""

    config: dict[str, Any]  # of the schema prior, as JSON data; the variant's tokens and the steps are put in
    train: str  # clips
    held_out: str
    clips: int  # to generate, each for the caption of a held-out clip
    sampling_steps: int  # a latent frame
    checkpoints: int  # during each training
    steps: int | None = None  # the budget; else `cpu_seconds`
    cpu_seconds: float | None = None
    calibration: int = 0  # steps that are timed, between two of the tokenizer `base`
    base: dict[str, Any] | None = None
    base_ms: float | None = None  # of a step of that tokenizer when the lab began


@dataclass(frozen=True)
class LabJob:
    """Train `config` in a folder and measure; or, with `base`, time both for `calibration` steps."""

    config: dict[str, Any]  # of the schema tokenizer, as JSON data
    measures: tuple[str, ...] = ()
    pictures: tuple[int, ...] = ()  # numbers of held-out clips
    threads: int = 1
    base: dict[str, Any] | None = None
    calibration: int = 0
    prior: PriorJob | None = None

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return write_json(folder / JOB, asdict(self))

    @staticmethod
    def read(folder: Path) -> "LabJob":
        data = read_json(folder / JOB)
        prior = None if data.get("prior") is None else PriorJob(**data["prior"])
        lists = {name: tuple(data[name]) for name in ("measures", "pictures")}
        return LabJob(**{**data, **lists, "prior": prior})


def training_config(data: dict[str, Any]) -> "TokenizerTrainingConfig":
    from videogen.training.tokenizer.config import TokenizerTrainingConfig

    return from_json(TokenizerTrainingConfig, data, "the job")  # type: ignore[no-any-return]


def prior_config(data: dict[str, Any]) -> "PriorTrainingConfig":
    from videogen.training.prior.config import PriorTrainingConfig

    return from_json(PriorTrainingConfig, data, "the job")  # type: ignore[no-any-return]


def write_json(place: Path, data: Any) -> Path:
    """A file that is whole or not there."""
    partial = place.with_name(f".{place.name}.partial")
    partial.write_text(as_json(data), encoding="utf-8")
    partial.replace(place)
    return place


def read_json(place: Path) -> Any:
    """The data of a file that `write_json` wrote; None if there is none."""
    return json.loads(place.read_text(encoding="utf-8")) if place.is_file() else None
