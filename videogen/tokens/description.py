"""What a token set is: made by which tokenizer, from which clips. Sets with equal descriptions hold equal tokens."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from interfaces.tokens import TokenSpec
from prior.config import ControlConfig
from videogen.checkpoint import as_json, sync
from videogen.config.serialization import from_json
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.storage import Location

FORMAT, VERSION, NAME = "videogen-tokens", 2, "tokens.json"


@dataclass(frozen=True)
class EncodeSpec:
    """What is encoded of each clip: frames of this size, at this rate, and at most so many (None: all)."""

    height: int
    width: int
    fps: float
    frames: int | None = None


@dataclass(frozen=True)
class Description:
    """The contents of `tokens.json`: all that decides the codes."""

    tokenizer: str  # fingerprint
    spec: TokenSpec
    clips: EncodeSpec
    data: str  # fingerprint of the clips: their keys, captions, windows, frames, times and controls
    count: int  # of clips
    clips_per_shard: int
    control: ControlConfig | None = None

    def __post_init__(self) -> None:
        for name in ("count", "clips_per_shard"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")

    @property
    def shards(self) -> int:
        return -(-self.count // self.clips_per_shard)

    def slice_of(self, shard: int) -> range:
        """The clips that a shard holds."""
        return range(shard * self.clips_per_shard, min((shard + 1) * self.clips_per_shard, self.count))


def read_description(folder: Location) -> Description:
    """The description of the set in `folder`; DataError if there is none, or one that this program cannot read."""
    known = read_json(folder)
    if (version := known.pop("version", None)) != VERSION:
        remedy = f"; convert it: `videogen convert {folder} NEW --model MODEL`" if version == 1 else ""
        raise DataError(f"{folder}: a token set of version {version!r}; this program reads version {VERSION}{remedy}")
    try:
        return cast(Description, from_json(Description, known, str(folder / NAME)))
    except CheckpointError as error:
        raise DataError(f"{error}; delete the folder and encode again") from None


def read_json(folder: Location) -> dict[str, Any]:
    """The fields of `tokens.json` of any version, without `format`."""
    place = folder / NAME
    if not place.is_file():
        raise DataError(f"{folder}: has no {NAME}, so it is not a token set; make one with `videogen encode`")
    try:
        known = json.loads(place.read_bytes())
    except ValueError:
        raise DataError(f"{place}: damaged (not JSON); delete the folder and encode again") from None
    if not isinstance(known, dict) or known.pop("format", None) != FORMAT:
        raise DataError(f"{place}: not the description of a token set")
    return known


def write_or_compare(folder: Path, description: Description) -> None:
    """Write the description if the folder has none, else compare: UsageError names what differs. Hold a lock."""
    if not (folder / NAME).exists():
        _refuse_occupied(folder)
        write_description(folder, description)
        return
    for meaning, before, now in _differences(read_description(folder), description):
        raise UsageError(
            f"{folder}: holds tokens of {meaning} ({_short(before)} there, {_short(now)} now); "
            "choose another folder, or delete this one to encode again"
        )


def write_description(folder: Path, description: Description) -> None:
    """Put `tokens.json` in place in one step."""
    place = folder / NAME
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(description)}
    partial = place.with_name(f".{place.name}.partial")
    partial.write_text(as_json(content), encoding="utf-8")
    sync(partial)
    partial.replace(place)
    sync(place.parent)


def describe_control(control: ControlConfig | None) -> str:
    """A control in a few words."""
    if control is None:
        return "nothing"
    return f"{control.floats} numbers" if control.discrete is None else f"one of {control.discrete} actions"


MEANING = {
    "tokenizer": "another tokenizer",
    "height": "another height",
    "width": "another width",
    "fps": "another frame rate",
    "frames": "another limit of frames",
    "spec": "another kind",
    "control": "another kind of control",
    "data": "other clips, captions, windows or controls",
    "count": "another number of clips",
    "clips_per_shard": "another number of clips a shard",
}


def _differences(before: Description, now: Description) -> list[tuple[str, object, object]]:
    flat = [{**vars(each), **asdict(each.clips)} for each in (before, now)]
    return [(MEANING[name], flat[0][name], flat[1][name]) for name in MEANING if flat[0][name] != flat[1][name]]


def _short(value: object) -> str:
    if isinstance(value, TokenSpec):
        return f"codebooks {list(value.codebooks)}, {value.tokens} tokens a latent frame"
    if isinstance(value, str):
        return value[:12]
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _refuse_occupied(folder: Path) -> None:
    others = sorted(place.name for place in folder.iterdir() if not place.name.startswith("."))
    if others:
        raise UsageError(f"{folder}: holds {others[0]} but no {NAME}; choose an empty or a new folder for the tokens")
