"""The kinds of tokenizers and priors that a model folder may hold: for each, its configuration and how to make it.

`kind` in a part's config.json names its kind. A new family is a new entry; no other file lists the families.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prior.kinds import PRIOR_CONFIGS, make_prior
from tokenizer.networks.kinds import TOKENIZER_CONFIGS, make_tokenizer


@dataclass(frozen=True)
class Kind:
    """A configuration dataclass, and the module that it makes.

    A tokenizer's module keeps `interfaces.tokenizer.VideoTokenizer`, and its configuration has `encoding`: the settings
    that decide codes, as plain data. Weights named in `tokenizer.networks.latent.DECODER_WEIGHTS` must not.
    A prior's module is a `prior.network.PriorNetwork`.
    """

    config: type
    make: Callable[[Any], nn.Module]


def _make_tokenizer(config: Any) -> nn.Module:
    # With weights in another layout than pixels, every call would convert them.
    return make_tokenizer(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


TOKENIZERS: dict[str, Kind] = {name: Kind(config, _make_tokenizer) for name, config in TOKENIZER_CONFIGS.items()}
PRIORS: dict[str, Kind] = {name: Kind(config, make_prior) for name, config in PRIOR_CONFIGS.items()}


def kind_of(config: object, kinds: dict[str, Kind]) -> str:
    """The name of the kind that this configuration belongs to."""
    for name, kind in kinds.items():
        if type(config) is kind.config:
            return name
    raise ValueError(f"{type(config).__name__} is the configuration of none of the kinds {', '.join(kinds)}")
