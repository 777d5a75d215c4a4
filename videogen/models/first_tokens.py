"""A model that makes only the first tokens of each latent frame, where it was trained so that they decode."""

from dataclasses import asdict, replace
from typing import Any

from videogen.errors import UsageError
from videogen.models.loading import fingerprint_of
from videogen.models.records import TokenizerModel
from videogen.models.registry import TOKENIZERS, kind_of


def keep_first_tokens(model: TokenizerModel, tokens: int) -> TokenizerModel:
    """The same weights under a configuration that says so, which whoever saves the model saves with it."""
    layout: Any = getattr(model.config, "layout", None)
    if not hasattr(layout, "kept"):
        raise UsageError(f"{model.path}: --tokens {tokens} needs tokens on a line; those of this model are on a grid")
    try:
        layout.check_prefix(tokens)
    except ValueError as error:
        raise UsageError(f"{model.path}: {error}") from None
    if tokens == layout.made:
        return model
    config = replace(model.config, layout=replace(layout, kept=tokens))
    network: Any = TOKENIZERS[kind_of(config, TOKENIZERS)].make(config)
    network.load_state_dict(model.network.state_dict())
    network = network.eval().requires_grad_(False).to(model.device)
    described = {**model.described, "network": asdict(config)}
    return replace(model, network=network, fingerprint=fingerprint_of(network), described=described)
