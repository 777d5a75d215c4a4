"""The initial weights of a tokenizer that starts from another model."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from tokenizer.networks.condition.decoder import CONDITION_WEIGHTS
from tokenizer.networks.config import DECODER_FIELDS, CNNTokenizerConfig
from tokenizer.networks.encoder_decoder import decoder_layers
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.networks.kinds import TokenizerConfig
from tokenizer.networks.latent import DECODER_WEIGHTS, LatentTokenizer
from tokenizer.quantize import QuantizerConfig, encoder_dim_of
from videogen.errors import UsageError
from videogen.models import load_tokenizer
from videogen.training.loop.stage import naming_init_from
from videogen.training.tokenizer.config import TokenizerTrainingConfig
from videogen.training.tokenizer.init_from_images import init_from_images


def init_weights(training: TokenizerTrainingConfig, fresh: LatentTokenizer) -> dict[str, Tensor]:
    """The weights of the `init_from` model; UsageError if its network differs, unless it is the image part of this one.

    Its quantizer may differ, unless quantizers are frozen: the new one starts from its `fresh` weights. A condition may
    be new, and starts from its `fresh` weights, which change nothing yet.

    If the encoder is frozen, the decoder may differ: a convolutional one with the same widths and more blocks starts by
    computing what the smaller one did; any other starts from its `fresh` weights.
    """
    config, path, phase = training.tokenizer, training.init_from, training.phases[0]
    assert path is not None
    with naming_init_from():
        model = load_tokenizer(path)
    if isinstance(config, FactorizedTokenizerConfig) and isinstance(model.config, CNNTokenizerConfig):
        try:
            return init_from_images(cast(LatentTokenizer, model.network), config)
        except ValueError as error:
            raise UsageError(f"init_from names {path}, which {error}") from None
    others = {f.name for f in fields(config) if getattr(model.config, f.name, None) != getattr(config, f.name)}
    others -= {"condition"}
    other_quantizer = model.config.quantizer.encoding != config.quantizer.encoding
    if (
        not same_but_quantizers(model.config, config)
        or "layout" in others
        or (other_quantizer and phase.decoder_only)
        or (not others.isdisjoint(DECODER_FIELDS) and not phase.freezes_encoder)
    ):
        named = others - ({"spread_weight"} if phase.decoder_only else {"spread_weight", "quantizer"})
        raise UsageError(f"init_from names {path}, which differs from this configuration in {', '.join(sorted(named))}")
    check_latents(path, model.config.quantizer, config.quantizer)
    condition = condition_weights(model.network.state_dict(), fresh.state_dict())
    given, own = without_condition(model.network.state_dict()), without_condition(fresh.state_dict())
    if other_quantizer:
        given = replaced(given, own, ("quantizer.",))
    if not others.isdisjoint(DECODER_FIELDS):
        decoder = {name: weights for name, weights in own.items() if name.startswith(DECODER_WEIGHTS)}
        given = replaced(given, grow_decoder(given, model.config, config, decoder), DECODER_WEIGHTS)
    channels = encoder_dim_of(config.quantizer), encoder_dim_of(model.config.quantizer)
    return {name: with_channels_of(own[name], weights, *channels) for name, weights in given.items()} | condition


def same_but_quantizers(old: TokenizerConfig, new: TokenizerConfig) -> bool:
    """Whether both make the same features of a clip, if they have the same weights."""
    before, now = ({**config.encoding, "quantizer": None} for config in (old, new))
    return before == now


def check_latents(path: Path, old: QuantizerConfig, new: QuantizerConfig) -> None:
    """UsageError if the new quantizer is for latents of another size than the model has."""
    if old.dim != new.dim:
        view = f"{{kind: multi_head, dim: {old.dim}, heads: 1, quantizer: ...}}"
        raise UsageError(
            f"init_from names {path}, whose latents have {old.dim} numbers; this quantizer takes {new.dim}; "
            f"{view} maps them to as many, and back"
        )


def replaced(given: Mapping[str, Tensor], others: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """The given weights, but the others where names begin with one of these."""
    kept = {name: weights for name, weights in given.items() if not name.startswith(prefixes)}
    return kept | {name: weights for name, weights in others.items() if name.startswith(prefixes)}


def with_channels_of(own: Tensor, given: Tensor, own_dim: int, given_dim: int) -> Tensor:
    """The given weights of as many channels of the encoder as there are in both, then its own.

    Its last layer has a row for each number of a latent, and after them those of log variances, if any; on a line each
    token has a row, with a number for each of these channels innermost.
    """
    if own.shape == given.shape:
        return given
    if len(own) == len(given):
        shared = min(own_dim, given_dim)
        own_NCE, given_NCE = torch.unflatten(own, 1, (-1, own_dim)), torch.unflatten(given, 1, (-1, given_dim))
        return torch.cat([given_NCE[..., :shared], own_NCE[..., shared:]], -1).flatten(1)
    rows = min(len(own), len(given))
    return torch.cat([given[:rows], own[rows:]])


def without_condition(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith(CONDITION_WEIGHTS)}


def condition_weights(given: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the condition: the given ones if all of them fit, else fresh ones."""
    new = {name: tensor for name, tensor in fresh.items() if name.startswith(CONDITION_WEIGHTS)}
    old = {name: tensor for name, tensor in given.items() if name.startswith(CONDITION_WEIGHTS)}
    fits = {name: tensor.shape for name, tensor in old.items()} == {name: tensor.shape for name, tensor in new.items()}
    return old if fits else new


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
        added = torch.zeros_like(weights) if rest.startswith(("time.", "out.")) else weights
        grown[name] = added if known is None else given[f"{layers}{known}.{rest}"]
    return grown
