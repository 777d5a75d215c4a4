"""Finds a model by its folder, or by its name on the Hugging Face hub."""

import re
from pathlib import Path

from videogen.checkpoint_reader import ARCHIVES
from videogen.errors import CheckpointError

BUNDLED = Path(__file__).parent / "playroom"  # the bundled model, also found by this name alone
ALLOWED = ("*.json", "*.safetensors", "*.md", "*.txt")  # no file that can run code when it is read


def resolve_model(folder: str | Path) -> Path:
    """The folder itself, or for an `owner/name` that is no folder here, its download from the hub."""
    path = Path(folder)
    if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)) or str(folder).startswith("."):
        return path
    return _download(str(folder), ALLOWED)


def resolve_checkpoint(source: str | Path) -> Path:
    """A path here, or for `owner/name` and `owner/name/PLACE` the repository or that file or folder in it.

    Pickles are downloaded too: only `videogen.checkpoint_reader` opens them.
    """
    path = Path(source)
    found = re.fullmatch(r"([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)", str(source))
    if path.exists() or found is None or str(source).startswith(".") or ".." in path.parts:
        return path
    place = found[2].strip("/")
    kinds = tuple(f"{place}/*{suffix}" if place else f"*{suffix}" for suffix in (".safetensors", ".json", *ARCHIVES))
    return _download(found[1], (place, *kinds) if place else kinds) / place


def _download(name: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # its versions raise different types for no such model, no network, no permission
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{name}: no such folder here, and the hub did not provide it ({reason})") from None
