"""A model folder to the Hugging Face hub: exactly the files that its manifest lists, in one commit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from videogen.checkpoint import MANIFEST
from videogen.errors import ResourceError, UsageError, VideogenError
from videogen.models.folder import TOKENIZER, open_model
from videogen.models.hub import NAME, reason_of

DENIED = (401, 403)  # codes of HTTP


@dataclass(frozen=True)
class PushedModel:
    url: str  # of the page of the repository
    commit: str  # what `revision` may name


def files_to_push(folder: str | Path) -> dict[str, Path]:
    """The files of a model folder, or of the model in a run folder, by their names in the repository.

    CheckpointError for another folder, or if a file is not the one of the manifest.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"{folder}: no such folder; a model is pushed from its folder")
    opened = open_model(folder, TOKENIZER)
    return {name: opened.path / name for name in sorted({*opened.hashes, MANIFEST})}


def push_to_hub(
    folder: str | Path, name: str, private: bool = False, revision: str | None = None, message: str = "A model"
) -> PushedModel:
    """Uploads the model to the repository `owner/name`, which is made if it is missing; `revision` is a branch.

    Nothing else in the folder is uploaded, and nothing in the repository is deleted.
    """
    if not re.fullmatch(NAME, name):
        raise UsageError(f"{name}: expected OWNER/NAME, a repository on the hub")
    files = files_to_push(folder)
    try:
        return _push(files, name, private, revision, message)
    except VideogenError:
        raise
    except Exception as error:  # its versions raise different types
        raise _refusal(name, error) from None


def _push(files: Mapping[str, Path], name: str, private: bool, revision: str | None, message: str) -> PushedModel:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi()
    api.create_repo(name, private=private, exist_ok=True)
    if private and not api.model_info(name).private:  # one that was there keeps its setting
        raise UsageError(f"{name}: is there already, and everybody can read it; push it without --private")
    added = [CommitOperationAdd(place, str(path)) for place, path in files.items()]
    done = api.create_commit(name, added, commit_message=message, revision=revision)
    return PushedModel(f"{api.endpoint}/{name}", done.oid)


def _refusal(name: str, error: Exception) -> VideogenError:
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    if isinstance(error, LocalTokenNotFoundError) or status in DENIED:
        denied = "your account may not write there" if status == 403 else "not logged in"
        return UsageError(f"{name}: {denied}; `hf auth login` with a token that may, or set HF_TOKEN")
    if status is not None and status < 500:
        return UsageError(f"{name}: the hub refuses it ({reason_of(error)})")
    return ResourceError(f"{name}: the hub cannot be reached ({reason_of(error)})")
