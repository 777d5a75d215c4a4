"""Model folders on the Hugging Face hub, by the names that users of `transformers` and `diffusers` know."""

import re
from pathlib import Path

from videogen.errors import CheckpointError

KINDS = ("*.json", "*.safetensors", "*.md", "*.txt")  # nothing that runs when it is read


def at_hand(folder: str | Path) -> Path:
    """A folder as it is; an `owner/name` that is no folder here is fetched from the hub, or found in its cache."""
    path = Path(folder)
    if path.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)) or str(folder).startswith("."):
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(folder), allow_patterns=list(KINDS)))
    except Exception as error:  # whatever its version raises: no such model, no network, no right to it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{folder}: no such folder here, and not to be had from the hub ({reason})") from None
