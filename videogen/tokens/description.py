"""What a set of tokens is: by which tokenizer, of which pictures and clips. Two that agree on it are equal."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from videogen.checkpoint import as_json, sync
from videogen.config.serialization import from_json
from videogen.errors import CheckpointError, DataError, UsageError

FORMAT, VERSION, NAME = "videogen-tokens", 1, "tokens.json"


@dataclass(frozen=True)
class Cut:
    """The pictures of a clip that are encoded: their size, how many a second, and at most how many (None: all)."""

    height: int
    width: int
    fps: float
    frames: int | None = None


@dataclass(frozen=True)
class Description:
    """What `tokens.json` says, and all that decides the ids."""

    tokenizer: str  # fingerprint
    cut: Cut
    data: str  # fingerprint of the clips: their keys, captions, windows, frames and times
    vocabulary: int  # ids are 0 .. vocabulary - 1; vocabulary itself is the mask, and fits the type of the ids
    f_t: int
    f_s: int
    clips: int
    clips_per_shard: int

    def __post_init__(self) -> None:
        for name in ("vocabulary", "f_t", "f_s", "clips", "clips_per_shard"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")

    @property
    def shards(self) -> int:
        return -(-self.clips // self.clips_per_shard)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of a latent frame."""
        return self.cut.height // self.f_s, self.cut.width // self.f_s

    def latent_frames(self, pictures: int) -> int:
        """How many latent frames hold a clip of so many pictures (at least 1), the last one filled up."""
        return 1 + -(-(pictures - 1) // self.f_t)

    def slice_of(self, shard: int) -> range:
        """The clips that a shard holds."""
        return range(shard * self.clips_per_shard, min((shard + 1) * self.clips_per_shard, self.clips))


def read_description(folder: Path) -> Description:
    """The description of the set in `folder`; DataError if there is none, or one that this program cannot read."""
    place = folder / NAME
    if not place.is_file():
        raise DataError(f"{folder}: no {NAME} in it, so it is no set of tokens; make one with `videogen encode`")
    try:
        known = json.loads(place.read_bytes())
    except ValueError:
        raise DataError(f"{place}: damaged (not JSON); delete the folder and encode again") from None
    if not isinstance(known, dict) or known.pop("format", None) != FORMAT:
        raise DataError(f"{place}: not the description of a set of tokens")
    if (version := known.pop("version", None)) != VERSION:
        raise DataError(f"{place}: of version {version!r}; this program reads {VERSION}")
    try:
        return cast(Description, from_json(Description, known, str(place)))
    except CheckpointError as error:
        raise DataError(f"{error}; delete the folder and encode again") from None


def agree(folder: Path, description: Description) -> None:
    """Write the description into a folder that has none, or compare: UsageError names what differs. Hold a lock."""
    if not (folder / NAME).exists():
        _refuse_occupied(folder)
        _write(folder / NAME, description)
        return
    for meaning, before, now in _differences(read_description(folder), description):
        raise UsageError(
            f"{folder}: holds tokens of {meaning} ({_short(before)} there, {_short(now)} now); "
            "choose another folder, or delete this one to encode again"
        )


MEANING = {
    "tokenizer": "another tokenizer",
    "vocabulary": "another tokenizer's vocabulary",
    "f_t": "another tokenizer's f_t",
    "f_s": "another tokenizer's f_s",
    "height": "another height",
    "width": "another width",
    "fps": "another frame rate",
    "frames": "another limit of frames",
    "data": "other clips, captions or windows",
    "clips": "another number of clips",
    "clips_per_shard": "another number of clips a shard",
}


def _differences(before: Description, now: Description) -> list[tuple[str, object, object]]:
    flat = [{**asdict(each), **asdict(each.cut)} for each in (before, now)]
    return [(MEANING[name], flat[0][name], flat[1][name]) for name in MEANING if flat[0][name] != flat[1][name]]


def _short(value: object) -> str:
    if isinstance(value, str):
        return value[:12]
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _refuse_occupied(folder: Path) -> None:
    others = sorted(place.name for place in folder.iterdir() if not place.name.startswith("."))
    if others:
        raise UsageError(f"{folder}: holds {others[0]} but no {NAME}; choose an empty or a new folder for the tokens")


def _write(place: Path, description: Description) -> None:
    content: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(description)}
    partial = place.with_name(f".{place.name}.partial")
    partial.write_text(as_json(content), encoding="utf-8")
    sync(partial)
    partial.replace(place)
    sync(place.parent)
