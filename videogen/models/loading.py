"""Reads tokenizers and priors from model folders; every file is compared with its hash first."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prior.config import PriorConfig
from prior.model import LlamaPrior
from tokenizer.networks.cnn import VideoTokenizer
from tokenizer.networks.config import TokenizerConfig
from videogen.checkpoint import Folder
from videogen.clip_spec import ClipSpec
from videogen.conditioning import load_conditioner
from videogen.conditioning.prompt_vocabulary import FILE as PROMPT_VOCABULARY
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.config.serialization import from_json
from videogen.errors import CheckpointError
from videogen.models.folder import GENERATION, PRIOR, TOKENIZER, open_model, part_of
from videogen.models.records import PriorModel, TokenizerModel

DECODER_WEIGHTS = "decoder."  # weights whose names begin so decide no tokens


def load_tokenizer(path: str | Path, device: str = "cpu") -> TokenizerModel:
    """The tokenizer of a model folder or a run folder."""
    return _tokenizer_of(open_model(path, TOKENIZER), device)


def load_prior(path: str | Path, device: str = "cpu") -> PriorModel:
    """The prior of a model folder or a run folder, with its tokenizer."""
    folder = open_model(path, PRIOR)
    parts = part_of(folder, PRIOR, {"network", "taught_on", "tokenizer"})
    tokenizer = _tokenizer_of(folder, device)
    if parts["tokenizer"] != tokenizer.fingerprint:
        raise CheckpointError(f"{folder.path}: its prior was trained on the tokens of another tokenizer than its own")
    place = f"{folder.path}/{PRIOR}/config.json"
    config = from_json(PriorConfig, parts["network"], place)
    network = LlamaPrior(config)
    _load_weights(network, folder, PRIOR)
    network.eval().requires_grad_(False).to(torch.device(device))
    return PriorModel(
        network=network,
        conditioner=None if config.context is None else load_conditioner(folder, device=device),
        clips=_prior_clips(parts["taught_on"], tokenizer.config),
        tokenizer=tokenizer,
        path=folder.path,
        fingerprint=folder.fingerprint,
        generation=folder.json(GENERATION) if GENERATION in folder.hashes else None,
        prompt_vocabulary=prompt_vocabulary_of(folder),
    )


def prompt_vocabulary_of(folder: Folder) -> PromptVocabulary | None:
    if PROMPT_VOCABULARY not in folder.hashes:
        return None
    return PromptVocabulary.from_json(folder.json(PROMPT_VOCABULARY), f"{folder.path}/{PROMPT_VOCABULARY}")


def fingerprint_of(network: VideoTokenizer) -> str:
    """A hash of the settings and weights that decide which tokens a clip is encoded to; the decoder is left out."""
    digest = hashlib.sha256(json.dumps(network.config.encoding, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(DECODER_WEIGHTS):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tokenizer_of(folder: Folder, device: str) -> TokenizerModel:
    parts = part_of(folder, TOKENIZER, {"network", "made_for"})
    place = f"{folder.path}/{TOKENIZER}/config.json"
    network = VideoTokenizer(from_json(TokenizerConfig, parts["network"], place))
    _load_weights(network, folder, TOKENIZER)
    clips = from_json(ClipSpec, parts["made_for"], place)
    fingerprint = fingerprint_of(network)
    # With weights in another layout than pixels, every call would convert them.
    network = network.eval().requires_grad_(False).to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return TokenizerModel(network, clips, fingerprint, folder.path, parts)


def _prior_clips(parts: dict[str, Any], config: TokenizerConfig) -> ClipSpec:
    """Files of version 1 count latent frames and tokens."""
    height, width = parts["height"] * config.f_s, parts["width"] * config.f_s
    return ClipSpec(height, width, parts["fps"], config.video_frames(parts["frames"]))


def _load_weights(network: nn.Module, folder: Folder, part: str) -> None:
    weights = folder.tensors(f"{part}/model.safetensors")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise CheckpointError(f"{folder.path}: the weights do not fit the configuration: {reason}") from None
