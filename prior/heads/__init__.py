"""Heads: the distribution of a token given its features, one family a file.

base.py            the interface of a head, and the proposal that holds features and a head
chain.py           one code after the other, each given those before it
token_sampling.py  temperature, top-k, top-p and the draw
"""

from collections.abc import Callable
from typing import Any

from prior.config import PriorConfig
from prior.heads.chain import ChainHead

HEADS: dict[str, Callable[[PriorConfig], Any]] = {"chain": ChainHead}  # by `PriorConfig.head`


def make_head(config: PriorConfig) -> Any:
    """The head of a prior: an nn.Module that implements `prior.heads.base.Head`."""
    if config.head not in HEADS:
        raise ValueError(f"head = {config.head} must be one of {', '.join(HEADS)}")
    return HEADS[config.head](config)
