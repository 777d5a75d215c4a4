"""Reads tokenizers and priors from model folders; every file is compared with its hash first."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from videogen.checkpoint import Folder
from videogen.clip_spec import ClipSpec
from videogen.conditioning import load_conditioner
from videogen.conditioning.prompt_vocabulary import FILE as PROMPT_VOCABULARY
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.config.serialization import from_json
from videogen.errors import CheckpointError
from videogen.models.fewer_codes import fingerprint_of, keep_first_levels, keep_first_tokens
from videogen.models.folder import GENERATION, PRIOR, TOKENIZER, open_model, part_of
from videogen.models.records import PriorModel, TokenizerModel
from videogen.models.registry import PRIORS, TOKENIZERS, Kind
from videogen.models.weights import fill, parameters_without_memory


def load_tokenizer(
    path: str | Path, device: str = "cpu", tokens: int | None = None, levels: int | None = None
) -> TokenizerModel:
    """The tokenizer of a model folder or a run folder; with `tokens` or `levels`, one that makes only so many first."""
    model = tokenizer_of(open_model(path, TOKENIZER), device)
    model = model if tokens is None else keep_first_tokens(model, tokens)
    return model if levels is None else keep_first_levels(model, levels)


def load_prior(path: str | Path, device: str = "cpu", dtype: torch.dtype | None = None) -> PriorModel:
    """The prior of a model folder or a run folder, with its tokenizer.

    The prior's weights go from the file to the device in `dtype`, float32 unless given. The tokenizer computes in
    float32: in less, it would encode clips to other codes.
    """
    folder = open_model(path, PRIOR)
    parts = part_of(folder, PRIOR, {"kind", "network", "clips", "tokenizer"})
    tokenizer = tokenizer_of(folder, device)
    if parts["tokenizer"] != tokenizer.fingerprint:
        raise CheckpointError(f"{folder.path}: its prior was trained on the tokens of another tokenizer than its own")
    network = _network(folder, PRIOR, parts, PRIORS, device, dtype)
    config = network.config
    clips = from_json(ClipSpec, parts["clips"], _config_at(folder, PRIOR))
    if (spec := tokenizer.spec_of(clips.height, clips.width)) != config.spec:
        raise CheckpointError(
            f"{folder.path}: its prior is for {config.spec}, its tokenizer makes {spec}; put them together as trained"
        )
    return PriorModel(
        network=network,
        conditioner=None if config.context is None else load_conditioner(folder, device=device),
        clips=clips,
        tokenizer=tokenizer,
        path=folder.path,
        fingerprint=folder.fingerprint,
        generation=folder.json(GENERATION) if GENERATION in folder.hashes else None,
        prompt_vocabulary=prompt_vocabulary_of(folder),
    )


def tokenizer_of(folder: Folder, device: str = "cpu") -> TokenizerModel:
    """The tokenizer of a folder that is open."""
    parts = part_of(folder, TOKENIZER, {"kind", "network", "clips"})
    clips = from_json(ClipSpec, parts["clips"], _config_at(folder, TOKENIZER))
    network = _network(folder, TOKENIZER, parts, TOKENIZERS)
    fingerprint = fingerprint_of(network)
    conditioned = getattr(network.config, "condition", None) is not None
    conditioner = load_conditioner(folder, device=device, inside=f"{TOKENIZER}/") if conditioned else None
    return TokenizerModel(network.to(torch.device(device)), clips, fingerprint, folder.path, parts, conditioner)


def prompt_vocabulary_of(folder: Folder) -> PromptVocabulary | None:
    if PROMPT_VOCABULARY not in folder.hashes:
        return None
    return PromptVocabulary.from_json(folder.json(PROMPT_VOCABULARY), f"{folder.path}/{PROMPT_VOCABULARY}")


def _network(
    folder: Folder,
    part: str,
    parts: dict[str, Any],
    kinds: dict[str, Kind],
    device: str = "cpu",
    dtype: torch.dtype | None = None,
) -> Any:
    """The module of a part with its weights, for use."""
    place = _config_at(folder, part)
    if parts["kind"] not in kinds:
        raise CheckpointError(f"{place}: kind is {parts['kind']!r}; this program knows {', '.join(kinds)}")
    kind = kinds[parts["kind"]]
    config = from_json(kind.config, parts["network"], place)
    try:
        with parameters_without_memory():
            network: nn.Module = kind.make(config)
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
    try:
        fill(network, folder.each_tensor(f"{part}/model.safetensors"), torch.device(device), dtype)
    except ValueError as error:
        raise CheckpointError(f"{folder.path}: the weights do not fit the configuration: {error}") from None
    return network.eval().requires_grad_(False)


def _config_at(folder: Folder, part: str) -> str:
    return f"{folder.path}/{part}/config.json"
