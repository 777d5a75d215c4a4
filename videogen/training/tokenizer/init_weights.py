"""The initial weights of a tokenizer that starts from another model."""

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor

from tokenizer.networks.config import DECODER_FIELDS, CNNTokenizerConfig
from tokenizer.networks.encoder_decoder import decoder_layers
from tokenizer.networks.kinds import TokenizerConfig
from tokenizer.networks.latent import DECODER_WEIGHTS, LatentTokenizer
from videogen.errors import UsageError
from videogen.models import load_tokenizer
from videogen.training.loop.stage import naming_init_from
from videogen.training.tokenizer.config import TokenizerTrainingConfig


def init_weights(training: TokenizerTrainingConfig, fresh: LatentTokenizer) -> dict[str, Tensor]:
    """The weights of the `init_from` model; UsageError if its network differs.

    If only the decoder is trained, the decoder may differ: a convolutional one with the same widths and more blocks
    starts by computing what the smaller one did; any other starts from its `fresh` weights.
    """
    config, path = training.tokenizer, training.init_from
    assert path is not None
    with naming_init_from():
        model = load_tokenizer(path)
    given = dict(model.network.state_dict())
    others = {f.name for f in fields(config) if getattr(model.config, f.name, None) != getattr(config, f.name)}
    if model.config.encoding == config.encoding and others.isdisjoint(DECODER_FIELDS):
        return given
    if model.config.encoding == config.encoding and training.phases[0].decoder_only:
        decoder = {name: weights for name, weights in fresh.state_dict().items() if name.startswith(DECODER_WEIGHTS)}
        grown = grow_decoder(given, model.config, config, decoder)
        return {name: weights for name, weights in given.items() if not name.startswith(DECODER_WEIGHTS)} | grown
    named = ", ".join(sorted(others - {"spread_weight"}))
    raise UsageError(f"init_from names {path}, which differs from this configuration in {named}")


def grow_decoder(
    given: Mapping[str, Tensor], old: TokenizerConfig, new: TokenizerConfig, fresh: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The weights of a decoder with more blocks than the given one; the new blocks add nothing yet."""
    if not (isinstance(old, CNNTokenizerConfig) and isinstance(new, CNNTokenizerConfig)):
        return dict(fresh)
    fewer = all(before <= now for before, now in zip(old.decoder_blocks, new.decoder_blocks, strict=True))
    if old.decoder_widths != new.decoder_widths or not fewer:
        return dict(fresh)
    before, now = {layer: place for place, layer in enumerate(decoder_layers(old))}, decoder_layers(new)
    grown, layers = {}, "decoder.layers."
    for name, weights in fresh.items():
        place, rest = name.removeprefix(layers).split(".", 1)
        known = before.get(now[int(place)])
        added = torch.zeros_like(weights) if rest.startswith("time.") else weights
        grown[name] = added if known is None else given[f"{layers}{known}.{rest}"]
    return grown
