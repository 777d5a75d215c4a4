"""Opens model folders, run folders and the bundled model, and checks what they hold."""

from pathlib import Path
from typing import Any

from videogen.checkpoint import Folder, read_folder
from videogen.errors import CheckpointError
from videogen.models.hub import BUNDLED, resolve_model

FORMAT, VERSION = "videogen-model", 2
INDEX, TOKENIZER, PRIOR, GENERATION = "model_index.json", "tokenizer", "prior", "generation_config.json"


def open_model(path: str | Path, part: str) -> Folder:
    """The model folder at `path`, or the one in a run folder; CheckpointError unless it has this part.

    `playroom` opens the bundled model where no folder of that name exists, and `owner/name` a model on the hub.
    """
    path = BUNDLED if str(path) == BUNDLED.name and not Path(path).exists() else resolve_model(path)
    inside = path / "model"
    try:
        folder = read_folder(inside if (inside / INDEX).is_file() else path)
    except CheckpointError as error:
        edited = f"/{GENERATION}: damaged or edited" in str(error)
        hint = "; undo the edit: `videogen export MODEL OUT KEY=VALUE` changes settings" if edited else ""
        raise CheckpointError(f"{error}{hint}") from None
    parts = index_of(folder)["parts"]
    if part not in parts:
        raise CheckpointError(f"{folder.path}: has no {part}, only {', '.join(parts) or 'nothing'}")
    return folder


def has_prior(path: str | Path) -> bool:
    """Whether the model at `path` can generate; otherwise it is a tokenizer alone."""
    return PRIOR in index_of(open_model(path, TOKENIZER))["parts"]


def index_of(folder: Folder) -> dict[str, Any]:
    """The model_index.json of a model folder of this version."""
    index = folder.json(INDEX) if INDEX in folder.hashes else None
    if not isinstance(index, dict) or index.get("format") != FORMAT or not isinstance(index.get("parts", []), list):
        raise CheckpointError(f"{folder.path}: not a model: no {INDEX} of format {FORMAT}")
    if (version := index.get("version")) != VERSION:
        remedy = f"; convert it: `videogen convert {folder.path} NEW`" if version == 1 else ""
        raise CheckpointError(
            f"{folder.path}: a model of version {version!r}; this program reads version {VERSION}{remedy}"
        )
    return {"parts": [], **index}


def part_of(folder: Folder, part: str, keys: set[str]) -> dict[str, Any]:
    """The config.json of a part, which must have exactly these keys."""
    config = folder.json(f"{part}/config.json")
    if not isinstance(config, dict) or set(config) != keys:
        raise CheckpointError(f"{folder.path}/{part}/config.json: not the configuration of a {part}")
    return config
