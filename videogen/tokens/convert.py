"""Token sets of version 1, whose tokens were single integers on one grid: the shards stay, `tokens.json` is new."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from videogen.config.serialization import from_json
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.tokens.description import NAME, Description, EncodeSpec, read_json, write_description
from videogen.tokens.shards import labels_at, tensors_at
from videogen.tokens.token_set import OnProgress, TokenSet, refuse_unfinished

if TYPE_CHECKING:
    from videogen.models import TokenizerModel


@dataclass(frozen=True)
class _Version1:
    tokenizer: str
    cut: EncodeSpec
    data: str
    vocabulary: int
    f_t: int
    f_s: int
    clips: int
    clips_per_shard: int


def convert_tokens(old: Path, new: Path, model: "TokenizerModel", on_progress: OnProgress | None = None) -> TokenSet:
    """Convert a token set of version 1 into the new folder `new`, with the tokenizer that made it.

    The tokenizer tells the codebooks, which version 1 does not. All shards are compared with their hashes.
    """
    if new.exists():
        raise UsageError(f"{new}: is there already; name a new folder")
    description = _converted(old, model)
    refuse_unfinished(old, description.shards)
    TokenSet(old, description).verify(on_progress)
    partial = new.with_name(f".{new.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number in range(description.shards):
        for place in (tensors_at(old, number), labels_at(old, number)):
            shutil.copyfile(place, partial / place.name)
    write_description(partial, description)
    partial.replace(new)
    return TokenSet.open(new, model.fingerprint)


def _converted(old: Path, model: "TokenizerModel") -> Description:
    known = _read(old)
    if known.tokenizer != model.fingerprint:
        raise CheckpointError(
            f"{old}: tokens of the tokenizer {known.tokenizer[:12]}, not of {model.fingerprint[:12]} ({model.path}); "
            "name the model that made them (--model)"
        )
    spec = model.network.spec(known.cut.height, known.cut.width)
    if math.prod(spec.codebooks) != known.vocabulary or spec.frames_per_latent != known.f_t:
        raise DataError(f"{old / NAME}: does not agree with the tokenizer in {model.path}")
    return Description(known.tokenizer, spec, known.cut, known.data, known.clips, known.clips_per_shard)


def _read(folder: Path) -> _Version1:
    known = read_json(folder)
    if (version := known.pop("version", None)) != 1:
        raise UsageError(f"{folder}: a token set of version {version!r}; only version 1 is converted")
    try:
        return cast(_Version1, from_json(_Version1, known, str(folder / NAME)))
    except CheckpointError as error:
        raise DataError(str(error)) from None
