"""The kinds of tokenizers and priors that a model folder may hold: for each, its configuration and how to make it.

`kind` in a part's config.json names its kind. A new family is a new entry; no other file lists the families.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prior.config import PriorConfig
from prior.model import LlamaPrior
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.config import CNNTokenizerConfig


@dataclass(frozen=True)
class Kind:
    """A configuration dataclass, and the module that it makes.

    A tokenizer's module keeps `interfaces.tokenizer.VideoTokenizer`, and its configuration has `encoding`: the settings
    that decide codes, as plain data. Weights whose names begin with `decoder.` must not decide codes.
    A prior's module keeps `interfaces.prior.FramePrior`, and its configuration has `spec`, `context`, `control` and
    `objective`.
    """

    config: type
    make: Callable[[Any], nn.Module]


def _make_cnn(config: CNNTokenizerConfig) -> nn.Module:
    # With weights in another layout than pixels, every call would convert them.
    return CNNTokenizer(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


TOKENIZERS: dict[str, Kind] = {"cnn": Kind(CNNTokenizerConfig, _make_cnn)}
PRIORS: dict[str, Kind] = {"llama": Kind(PriorConfig, LlamaPrior)}


def kind_of(config: object, kinds: dict[str, Kind]) -> str:
    """The name of the kind that this configuration belongs to."""
    for name, kind in kinds.items():
        if type(config) is kind.config:
            return name
    raise ValueError(f"{type(config).__name__} is the configuration of none of the kinds {', '.join(kinds)}")
