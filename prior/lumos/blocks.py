"""A block of Lumos-1, which is that of Chameleon: a Llama's, with a LayerNorm for each head of queries and keys."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prior.blocks import Block
from prior.config import BlockShape

EPSILON = 1e-5  # of LayerNorm, in every published model


class Lumos1Block(Block):
    """The caller rotates queries and keys, of `split`: positions of keys change when the window moves."""

    def __init__(self, config: BlockShape):
        super().__init__(config)
        self.q_norm = HeadLayerNorm(config.heads, config.head_dim)
        self.k_norm = HeadLayerNorm(config.kv_heads, config.head_dim)


class HeadLayerNorm(nn.Module):
    """LayerNorm over the channels of a head, with a weight and a bias for each channel of each head."""

    def __init__(self, heads: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, channels))
        self.bias = nn.Parameter(torch.zeros(heads, channels))

    def forward(self, x_BSHD: Tensor) -> Tensor:
        normal = F.layer_norm(x_BSHD, x_BSHD.shape[-1:], eps=EPSILON)
        return (normal * self.weight + self.bias).to(x_BSHD.dtype)
