"""Public checkpoints as model folders."""

from collections.abc import Mapping
from pathlib import Path

import torch

from interfaces.foreign import ForeignModel, ForeignPrior, ForeignTokenizer
from prior.kinds import FOREIGN_PRIORS
from tokenizer.foreign import FOREIGN
from videogen.checkpoint import write_folder
from videogen.checkpoint_reader import read_checkpoint
from videogen.clip_spec import ClipSpec
from videogen.errors import UsageError
from videogen.models.foreign_prior import convert_foreign_prior
from videogen.models.foreign_weights import as_ours, as_stored, check_numbers, check_weights, model_card
from videogen.models.loading import load_tokenizer
from videogen.models.records import PriorModel, TokenizerModel
from videogen.models.registry import TOKENIZERS
from videogen.models.saving import check_new, tokenizer_files


def convert_foreign(
    kind: str, source: Path, out: Path, clips: ClipSpec, options: Mapping[str, str], dtype: torch.dtype
) -> TokenizerModel | PriorModel:
    """Convert a checkpoint into the model folder `out`; a model that is there is replaced.

    `clips` are what commands take as the model's frame size, rate and length, because a checkpoint does not say them.
    """
    check_new(out)
    foreign = foreign_model(kind)
    if isinstance(foreign, ForeignPrior):
        return convert_foreign_prior(kind, foreign, source, out, clips, options, dtype)
    assert isinstance(foreign, ForeignTokenizer)
    return convert_foreign_tokenizer(kind, foreign, source, out, clips, options, dtype)


def foreign_model(kind: str) -> ForeignModel:
    """The entry of the registry; UsageError for a kind that is not there."""
    known: dict[str, ForeignModel] = {**FOREIGN, **FOREIGN_PRIORS}
    if kind not in known:
        raise UsageError(f"KIND is {kind[:60]!a}; public checkpoints are of the kinds {', '.join(known)}")
    return known[kind]


def convert_foreign_tokenizer(
    kind: str,
    foreign: ForeignTokenizer,
    source: Path,
    out: Path,
    clips: ClipSpec,
    options: Mapping[str, str],
    dtype: torch.dtype,
) -> TokenizerModel:
    checkpoint = read_checkpoint(source)
    tensors = checkpoint.tensors
    check_numbers(tensors, foreign, source)
    config, weights = as_ours(
        kind, source, lambda: foreign.config(tensors, options), lambda config: foreign.weights(tensors, config)
    )
    weights = as_stored(weights, dtype)
    network = check_weights(weights, config, TOKENIZERS, source)
    try:
        network.spec(clips.height, clips.width)
    except ValueError as error:
        raise UsageError(f"--size {clips.height}x{clips.width}: {error}") from None
    card = model_card(kind, "tokenizer", foreign, checkpoint, options, dtype)
    write_folder(out, tokenizer_files(config, clips, weights, card))
    return load_tokenizer(out)
