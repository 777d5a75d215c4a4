"""The schema `lab` of configuration files: variants of one tokenizer configuration, compared side by side."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from videogen.config.strict_yaml import Mapping
from videogen.lab.measures import MEASURES, PLAYROOM_ONLY
from videogen.playroom.write import PlayroomConfig

NOTHING = Mapping({}, {}, "default")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


@dataclass(frozen=True)
class LabPlayroom:
    """Clips of the playroom, written into the lab's folder: some to train on, others (of the next seed) held out."""

    train: PlayroomConfig
    held_out: int
    drawings: int = 0  # clips of words, small shapes and thin lines beside those to train on: videogen.lab.drawings
    kind: Literal["playroom"] = "playroom"

    def __post_init__(self) -> None:
        for name, least in (("held_out", 1), ("drawings", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(frozen=True)
class LabFolder:
    """A set of one's own; without `validation`, the base says which share of it is held out."""

    train: Path
    validation: Path | None = None
    kind: Literal["folder"] = "folder"


def check_budget(cpu_seconds: float | None, steps: int | None, calibration: int) -> None:
    if (cpu_seconds is None) == (steps is None):
        raise ValueError("cpu_seconds and steps: give one of them")
    if cpu_seconds is not None and cpu_seconds <= 0:
        raise ValueError(f"cpu_seconds is {cpu_seconds:g}; it must be above 0")
    if steps is not None and steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    if calibration < 3:
        raise ValueError(f"calibration is {calibration}; the median needs at least 3 steps")


@dataclass(frozen=True)
class LabBudget:
    """What every variant may spend: seconds of CPU time, turned into steps before it is trained; or steps."""

    cpu_seconds: float | None = None
    steps: int | None = None
    calibration: int = 12  # steps of a throwaway run that are timed

    def __post_init__(self) -> None:
        check_budget(self.cpu_seconds, self.steps, self.calibration)


@dataclass(frozen=True)
class LabPrior:
    """Of the measure `prior`: a prior on each variant's tokens, trained with all of a budget and with half of it."""

    base: str  # a configuration of the schema prior: beside the recipe, from here, or a preset
    cpu_seconds: float | None = None
    steps: int | None = None
    calibration: int = 12  # steps of a throwaway run that are timed
    clips: int = 64  # that are generated, each for the caption of a held-out clip
    sampling_steps: int = 8  # a latent frame, whatever its tokens
    set: Mapping = NOTHING  # changes of the base
    only: tuple[str, ...] = ()  # names of variants or groups; empty: all of them

    def __post_init__(self) -> None:
        check_budget(self.cpu_seconds, self.steps, self.calibration)
        for name in ("clips", "sampling_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class VariantConfig:
    """What a variant changes: `set` maps keys of the base, such as `tokenizer.quantizer`, to their values."""

    set: Mapping = NOTHING
    prior: Mapping = NOTHING  # changes of the prior's base, for this variant alone
    tokenizer_of: str | None = None  # an earlier variant, whose trained tokenizer this one uses
    label: str | None = None  # in tables and charts; the name, if there is none
    group: str | None = None  # a heading over several rows of the table, and a line of a chart
    note: str | None = None  # under the table

    def __post_init__(self) -> None:
        if self.tokenizer_of is not None and self.set.items:
            raise ValueError(f"set changes the tokenizer, which is that of '{self.tokenizer_of}'; give one of the two")


@dataclass(frozen=True)
class ChartConfig:
    """A chart of the page.

    curves: a figure of metrics.jsonl over the steps, a line a variant
    values: figures, a mark a variant; those that are shares are bars in one chart
    points: two figures, a dot a variant
    lines: two figures, a line a group through its variants
    numbered: figures with numbered names (psnr_1, psnr_2, ...), a line a variant
    """

    kind: Literal["curves", "values", "points", "lines", "numbered"]
    figures: tuple[str, ...]  # points and lines: that of the x axis first
    title: str
    only: tuple[str, ...] = ()  # names of variants or groups; empty: all of them
    x_label: str = "number"  # kind: numbered

    def __post_init__(self) -> None:
        expected = {"points": 2, "lines": 2, "curves": 1, "numbered": 1}.get(self.kind)
        if not self.figures or expected not in (None, len(self.figures)):
            raise ValueError(f"figures are {len(self.figures)}; kind: {self.kind} draws {expected or 'one or more'}")


@dataclass(frozen=True)
class LabPictures:
    """Which held-out clips are shown, each reconstructed by all variants, and how many frames of each."""

    clips: tuple[int, ...] = (0, 1)
    frames: int = 5
    only: tuple[str, ...] = ()  # names of variants or groups; empty: all of them

    def __post_init__(self) -> None:
        if min(self.clips, default=0) < 0:
            raise ValueError(f"clips are {list(self.clips)}; they are numbers from 0 on")
        if self.frames < 1:
            raise ValueError(f"frames is {self.frames}; it must be at least 1")


@dataclass(frozen=True)
class LabRecipe:
    """A comparison: what differs between the variants, what is the same for all, and what is measured and shown."""

    title: str
    base: str  # a configuration of the schema tokenizer: a path, from the recipe's folder or from here, or a preset
    data: LabPlayroom | LabFolder
    budget: LabBudget
    measures: tuple[str, ...]
    question: str = ""
    about: str = ""  # Markdown, before the figures
    findings: str = ""  # Markdown: conclusions are written by people
    set: Mapping = NOTHING  # changes of the base for all variants
    variants: dict[str, VariantConfig] = field(default_factory=dict)
    grid: dict[str, dict[str, VariantConfig]] = field(default_factory=dict)  # every combination of one choice an axis
    seeds: tuple[int, ...] = (0,)
    validations: int = 5  # during training, evenly spaced
    threads: int = 1
    columns: tuple[str, ...] = ()  # figures in the table; empty: those that have a heading
    charts: tuple[ChartConfig, ...] = ()
    pictures: LabPictures = LabPictures()
    prior: LabPrior | None = None  # of the measure `prior`

    def __post_init__(self) -> None:
        if not self.variants and not self.grid:
            raise ValueError("variants are missing; a comparison needs variants, or a grid")
        for axis, choices in self.grid.items():
            if not choices:
                raise ValueError(f"grid has no choices in '{axis}'")
            if any(choice.tokenizer_of is not None for choice in choices.values()):
                raise ValueError(f"grid has tokenizer_of in '{axis}'; only variants can share a tokenizer")
        _check_names("variants", self.variants)
        for choices in self.grid.values():
            _check_names("grid", choices)
        for name in ("seeds", "measures"):
            if not getattr(self, name) or len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} are {list(getattr(self, name))}; expected one or more, each once")
        if not all(0 <= seed < 1 << 64 for seed in self.seeds):
            raise ValueError(f"seeds are {list(self.seeds)}; they must lie in 0 .. 2^64 - 1")
        if isinstance(self.data, LabPlayroom) and max(self.pictures.clips, default=0) >= self.data.held_out:
            raise ValueError(f"pictures show clip {max(self.pictures.clips)} of {self.data.held_out}, counted from 0")
        for measure in self.measures:
            if measure not in MEASURES:
                raise ValueError(f"measures hold '{measure}'; known: {', '.join(MEASURES)}")
            if measure in PLAYROOM_ONLY and not isinstance(self.data, LabPlayroom):
                raise ValueError(f"measures hold '{measure}', which needs clips of the playroom")
        _check_prior(self)
        _check_shared_tokenizers(self.variants)
        for name in ("validations", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


def _check_prior(recipe: LabRecipe) -> None:
    prior = recipe.prior
    if (prior is not None) != ("prior" in recipe.measures):
        raise ValueError("prior and the measure 'prior' go together: give both or neither")
    if prior is None:
        changes = (each for choices in (recipe.variants, *recipe.grid.values()) for each in choices.items())
        if "prior_speed" in recipe.measures:
            raise ValueError("measures hold 'prior_speed', which needs the measure 'prior' and its section")
        if changed := [name for name, variant in changes if variant.prior.items]:
            raise ValueError(f"prior is missing, and '{changed[0]}' changes it")
        return
    if isinstance(recipe.data, LabPlayroom) and prior.clips > recipe.data.held_out:
        raise ValueError(f"prior has clips = {prior.clips}; there are {recipe.data.held_out} held-out clips")
    if prior.cpu_seconds is not None and recipe.budget.cpu_seconds is None:
        raise ValueError("prior has cpu_seconds; budget needs them too, because both are measured at one speed")


def _check_shared_tokenizers(variants: dict[str, VariantConfig]) -> None:
    earlier: list[str] = []
    for name, variant in variants.items():
        if variant.tokenizer_of is not None and variant.tokenizer_of not in earlier:
            other = variant.tokenizer_of
            raise ValueError(f"variants.{name} has the tokenizer of '{other}', no earlier variant with its own")
        if variant.tokenizer_of is None:  # one that trains its own
            earlier.append(name)


def _check_names(where: str, names: Iterable[str]) -> None:
    """They become folders, and parts of the names of files."""
    for name in names:
        if not name or not set(name) <= LETTERS or name.startswith("."):
            raise ValueError(f"{where} hold '{name}'; names have letters, digits, '_', '-' and '.'")
