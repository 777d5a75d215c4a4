"""Finds a model by its folder, or by its name on the Hugging Face hub."""

import re
from pathlib import Path

from videogen.checkpoint_reader import ARCHIVES
from videogen.errors import CheckpointError, UsageError

BUNDLED = Path(__file__).parent / "playroom"  # the bundled model, also found by this name alone
ALLOWED = ("*.json", "*.safetensors", "*.md", "*.txt")  # no file that can run code when it is read
NAME = r"[\w.-]+/[\w.-]+"
REVISION = r"@([\w./-]+)"


def resolve_model(folder: str | Path, revision: str | None = None) -> Path:
    """The folder itself, or for an `owner/name` that is no folder here, its download from the hub.

    A revision, a branch, tag or commit, is an argument or part of the name: `owner/name@revision`. What was downloaded
    before is used again, also without a network.
    """
    path, found = Path(folder), re.fullmatch(f"({NAME})(?:{REVISION})?", str(folder))
    if path.exists() or found is None or is_place_here(str(folder)):
        if revision is not None:
            raise UsageError(f"revision {revision}: only names on the hub have revisions, and {folder} is none")
        return path
    if revision is not None and found[2] is not None:
        raise UsageError(f"{folder} names a revision, and so does revision {revision}; give one")
    return _download(found[1], ALLOWED, found[2] if revision is None else revision)


def resolve_checkpoint(source: str | Path) -> Path:
    """A path here, or for `owner/name` and `owner/name/PLACE` the repository or that file or folder in it.

    Pickles are downloaded too: only `videogen.checkpoint_reader` opens them.
    """
    path = Path(source)
    found = re.fullmatch(rf"({NAME})((?:/[\w.-]+)*)", str(source))
    if path.exists() or found is None or is_place_here(str(source)):
        return path
    place = found[2].strip("/")
    kinds = tuple(f"{place}/*{suffix}" if place else f"*{suffix}" for suffix in (".safetensors", ".json", *ARCHIVES))
    return _download(found[1], (place, *kinds) if place else kinds) / place


def is_place_here(name: str) -> bool:
    """Whether a path that is not there is meant to be here, and nobody is asked for it: its first folder is here."""
    first, *rest = name.split("/")
    return first.startswith(".") or ".." in rest or Path(first).is_dir()


def _download(name: str, patterns: tuple[str, ...], revision: str | None = None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:  # its versions raise different types for no such model, no network, no permission
        raise CheckpointError(
            f"{name}: no such folder here, and the hub did not provide it ({reason_of(error)})"
        ) from None


def reason_of(error: Exception) -> str:
    """Why the hub did not do what it was asked, in a few words."""
    from huggingface_hub import errors

    texts = (  # the classes inherit from one another: the special ones first
        (errors.GatedRepoError, "its licence has to be accepted on its page, and `hf auth login` run"),
        (errors.RepositoryNotFoundError, "no such repository, or a private one: `hf auth login`"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.LocalTokenNotFoundError, "not logged in: `hf auth login`, or set HF_TOKEN"),
        (errors.LocalEntryNotFoundError, "no network, and no download of an earlier time"),
        (errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE forbids to use the network"),
    )
    for kind, text in texts:
        if isinstance(error, kind):
            return text
    return (str(error).strip() or type(error).__name__).splitlines()[0]
