"""A tokenizer that makes only the first codes of each latent frame: fewer tokens of a line, fewer residual levels.

The same weights under a configuration that says so, which whoever saves the model saves with it.
"""

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import torch

from tokenizer.networks.latent import DECODER_WEIGHTS
from tokenizer.quantize import ResidualConfig
from videogen.errors import UsageError
from videogen.models.records import TokenizerModel
from videogen.models.registry import TOKENIZERS, kind_of


def keep_first_tokens(model: TokenizerModel, tokens: int) -> TokenizerModel:
    """A model that makes only the first tokens of each latent frame; UsageError if they do not decode alone."""
    layout: Any = getattr(model.config, "layout", None)
    if not hasattr(layout, "kept"):
        raise UsageError(f"{model.path}: --tokens {tokens} needs tokens on a line; those of this model are on a grid")
    try:
        layout.check_prefix(tokens)
    except ValueError as error:
        raise UsageError(f"{model.path}: {error}") from None
    if tokens == layout.made:
        return model
    return with_config(model, replace(model.config, layout=replace(layout, kept=tokens)))


def keep_first_levels(model: TokenizerModel, levels: int) -> TokenizerModel:
    """A model that makes only the first residual levels of each token; UsageError if it has no such levels."""
    quantizer: Any = getattr(model.config, "quantizer", None)
    if not isinstance(quantizer, ResidualConfig):
        raise UsageError(f"{model.path}: --levels {levels} needs a residual quantizer; this model has another")
    if not 1 <= levels <= quantizer.depth:
        raise UsageError(f"{model.path}: --levels {levels}: it has {quantizer.depth}")
    return with_config(model, replace(model.config, quantizer=replace(quantizer, depth=levels)))


def with_config(model: TokenizerModel, config: Any) -> TokenizerModel:
    """The model with the weights that a smaller configuration needs."""
    if config == model.config:
        return model
    network: Any = TOKENIZERS[kind_of(config, TOKENIZERS)].make(config)
    weights = model.network.state_dict()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    network = network.eval().requires_grad_(False).to(model.device)
    described = {**model.described, "network": asdict(config)}
    return replace(model, network=network, fingerprint=fingerprint_of(network), described=described)


def fingerprint_of(network: Any) -> str:
    """A hash of a tokenizer's settings and weights that decide which codes a clip is encoded to, so not the decoder."""
    digest = hashlib.sha256(json.dumps(network.config.encoding, sort_keys=True).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(DECODER_WEIGHTS):
            digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
