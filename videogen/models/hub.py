"""Finds a model by its folder, or by its name on the Hugging Face hub."""

import re
from pathlib import Path

from videogen.errors import CheckpointError

BUNDLED = Path(__file__).parent / "playroom"  # the bundled model, also found by this name alone
ALLOWED = ("*.json", "*.safetensors", "*.md", "*.txt")  # no file that can run code when it is read


def resolve_model(folder: str | Path) -> Path:
    """The folder itself, or for an `owner/name` that is no folder here, its download from the hub."""
    path = Path(folder)
    if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)) or str(folder).startswith("."):
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(folder), allow_patterns=list(ALLOWED)))
    except Exception as error:  # its versions raise different types for no such model, no network, no permission
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder}: no such folder here, and the hub did not provide it ({reason})") from None
