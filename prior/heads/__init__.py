"""Heads: the distribution of a token given its features, one family a file.

base.py            the interface of a head, and the proposal that holds features and a head
chain.py           one code after the other, each given the sum of those before it
depth.py           the same with a small transformer over the codes of a token
flat.py            one softmax over all combinations of codes
flow.py            continuous tokens: noise to token in a few steps
token_sampling.py  temperature, top-k, top-p and the draw
"""

from typing import Any

from interfaces.tokens import TokenSpec
from prior.head_config import ChainConfig, DepthConfig, FlatConfig, FlowConfig, HeadConfig
from prior.heads.chain import ChainHead
from prior.heads.depth import DepthHead
from prior.heads.flat import FlatHead
from prior.heads.flow import FlowHead


def make_head(config: HeadConfig, spec: TokenSpec, width: int) -> Any:
    """The head for features of this width, an nn.Module that implements `prior.heads.base.Head`; ValueError if it
    cannot draw these tokens."""
    match config:
        case ChainConfig():
            return ChainHead(config, spec, width)
        case FlatConfig():
            return FlatHead(config, spec, width)
        case DepthConfig():
            return DepthHead(config, spec, width)
        case FlowConfig():
            return FlowHead(config, spec, width)
