"""Public priors as model folders, with a tokenizer that is a model here already and the tokenizer of their text."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from interfaces.foreign import ForeignPrior, PriorSource, PromptFormat, PublishedClips
from sampling.config import SamplerConfig
from videogen.checkpoint import write_folder
from videogen.checkpoint_reader import read_checkpoint
from videogen.clip_spec import ClipSpec
from videogen.conditioning.config import TokenizerFileConfig
from videogen.conditioning.tokenizer_file import TokenizerFileConditioner, check_ids, load_tokenizer_file
from videogen.errors import CheckpointError, UsageError
from videogen.models.foreign_weights import as_ours, as_stored, check_numbers, check_weights, model_card
from videogen.models.loading import load_prior, load_tokenizer
from videogen.models.records import PriorModel
from videogen.models.registry import PRIORS
from videogen.models.saving import prior_files

LARGEST_JSON = 64 * 2**20
CONFIG, TOKENIZER_FILE = "config.json", "tokenizer.json"


def convert_foreign_prior(
    kind: str,
    foreign: ForeignPrior,
    source: Path,
    out: Path,
    clips: ClipSpec,
    options: Mapping[str, str],
    dtype: torch.dtype,
) -> PriorModel:
    """`source` is a folder with safetensors and a config.json. The option `tokenizer` is the model folder of the
    tokenizer, `text` the tokenizer.json of the text if it is not in `source`."""
    if not source.is_dir():
        raise UsageError(f"{source}: not a folder; {kind} is a folder with its safetensors and {CONFIG}")
    tokenizer_at, text_at = options.get("tokenizer"), Path(options.get("text", source / TOKENIZER_FILE))
    if tokenizer_at is None:
        raise UsageError(f"{kind} needs tokenizer=FOLDER, a model folder with the tokenizer of its tokens")
    tokenizer, text_data, settings = load_tokenizer(tokenizer_at), _json_at(text_at), _json_at(source / CONFIG)
    tokenizer.check_causal()
    try:
        spec = tokenizer.spec_of(clips.height, clips.width)
    except ValueError as error:
        raise UsageError(f"--size {clips.height}x{clips.width}: {error}") from None
    checkpoint = read_checkpoint(source)
    check_numbers(checkpoint.tensors, foreign, source)
    found = PriorSource(checkpoint.tensors, settings, spec, PublishedClips(**asdict(clips)))
    own = {name: value for name, value in options.items() if name not in ("tokenizer", "text")}
    config, weights = as_ours(
        kind, source, lambda: foreign.config(found, own), lambda made: foreign.weights(found.tensors, made)
    )
    weights = as_stored(weights, dtype)
    check_weights(weights, config, PRIORS, source)
    text = _text_of(config, foreign.prompt(config, clips.height, clips.width), text_data, text_at)
    card = model_card(kind, "prior", foreign, checkpoint, options, dtype)
    sampler = SamplerConfig(**foreign.sampler)
    write_folder(out, prior_files(tokenizer, config, clips, weights, text, card, sampler))
    return load_prior(out)


def _text_of(config: Any, prompt: PromptFormat, data: Any, place: Path) -> TokenizerFileConditioner:
    context = config.context
    try:
        settings = TokenizerFileConfig(
            vocabulary=context.vocabulary,
            length=context.length,
            template=prompt.template,
            first=prompt.first,
            last=prompt.last,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    text = load_tokenizer_file(settings, data, str(place))
    check_ids(text, prompt.ids, str(place))
    return text


def _json_at(place: Path) -> Any:
    if not place.is_file():
        raise UsageError(f"{place}: no such file" + ("; give text=FILE" if place.name == TOKENIZER_FILE else ""))
    try:
        found = json.loads(place.read_bytes()) if place.stat().st_size <= LARGEST_JSON else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CheckpointError(f"{place}: not a JSON object of at most {LARGEST_JSON >> 20} MiB")
    return found
