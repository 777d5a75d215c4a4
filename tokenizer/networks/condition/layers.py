"""Layers that change the features of a frame by a caption; none of them reaches over time.

The last weights of each are zero at first, so that a decoder begins as if it had no such layers.

Legend: L tokens of a caption with the learned "no caption" before them, W their width, C channels of the features.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from interfaces.prior import Text
from interfaces.text import CaptionInput
from tokenizer.networks.blocks import PositionNorm
from tokenizer.networks.condition.config import CrossAttentionConfig, FilmConfig
from tokenizer.networks.convolution import FrameConv
from tokenizer.streaming import State, state_tensors


class CaptionEmbedding(nn.Module):
    """Captions as vectors [B, L, W], after each token has attended to the others, and which of them count [B, L].

    For a caption those are its tokens; without one, it is the learned vector of "no caption" alone.
    """

    def __init__(self, config: CaptionInput, width: int):
        super().__init__()
        self.config = config
        self.tokens = make_token_embedding(config, width)
        self.place = nn.Embedding(config.length, width)
        self.nothing = nn.Parameter(torch.zeros(width))
        self.norm = PositionNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, text: Text) -> tuple[Tensor, Tensor]:
        self.check(text)
        content = text.content.to(self.nothing.dtype) if text.content.is_floating_point() else text.content
        words_BLW = self.tokens(content) + self.place.weight
        x_BLW = torch.cat([self.nothing.expand(len(words_BLW), 1, -1), words_BLW], 1)
        counts_BL = torch.cat([~text.mask.any(1, keepdim=True), text.mask], 1)
        q, k, v = self.qkv(self.norm(x_BLW)).unsqueeze(1).chunk(3, -1)
        mixed_BLW = F.scaled_dot_product_attention(q, k, v, counts_BL[:, None, None]).squeeze(1)
        return x_BLW + self.out(mixed_BLW), counts_BL

    def check(self, text: Text) -> None:
        config, found = self.config, tuple(text.content.shape[1:])
        expected = (config.length,) if config.features is None else (config.length, config.features)
        if found != expected:
            raise ValueError(f"a caption of shape {found}; this decoder takes {expected}")
        if text.mask.shape != text.content.shape[:2]:
            raise ValueError(f"a mask of shape {tuple(text.mask.shape)} for text of {tuple(text.content.shape[:2])}")

    def no_text(self) -> Text:
        """The text of one clip without a caption."""
        config, device = self.config, self.nothing.device
        shape = (1, config.length) if config.features is None else (1, config.length, config.features)
        content = torch.zeros(shape, dtype=torch.int64 if config.features is None else torch.float32, device=device)
        return Text(content, torch.zeros(1, config.length, dtype=torch.bool, device=device))


def make_token_embedding(config: CaptionInput, width: int) -> nn.Module:
    if config.vocabulary is not None:
        return nn.Embedding(config.vocabulary, width)
    assert config.features is not None
    return nn.Linear(config.features, width)


class ConditionLayer(nn.Module, ABC):
    """Features [B, T, H, W, C] to features, each frame alone, by what `read` makes of the captions."""

    @abstractmethod
    def read(self, words_BLW: Tensor, counts_BL: Tensor) -> State:
        """All that this layer needs of the captions: part of a stream's state."""

    @abstractmethod
    def forward(self, x_BTHWC: Tensor, caption: State) -> Tensor: ...


class Film(ConditionLayer):
    """x (1 + scale) + shift, with a scale and a shift for each channel, the same at every position."""

    def __init__(self, config: FilmConfig, dim: int):
        super().__init__()
        self.hidden = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, 2 * dim)
        zero_(self.out)

    def read(self, words_BLW: Tensor, counts_BL: Tensor) -> State:
        weight_BL = counts_BL.to(words_BLW.dtype) / counts_BL.sum(1, keepdim=True)
        mean_BW = (words_BLW * weight_BL.unsqueeze(-1)).sum(1)
        return self.out(F.silu(self.hidden(mean_BW)))  # type: ignore[no-any-return]

    def forward(self, x_BTHWC: Tensor, caption: State) -> Tensor:
        (both_BD,) = state_tensors((caption,), 1)
        scale, shift = both_BD[:, None, None, None].chunk(2, -1)
        return x_BTHWC * (1 + scale) + shift


class CrossAttention(ConditionLayer):
    """x + out(attention of norm(x) to the tokens of the caption)."""

    def __init__(self, config: CrossAttentionConfig, dim: int):
        super().__init__()
        config.check_channels((dim,))
        self.heads = config.heads
        self.norm = PositionNorm(dim)
        self.query = FrameConv(dim, dim, 1)
        self.key_value = nn.Linear(config.width, 2 * dim)
        self.out = FrameConv(dim, dim, 1)
        zero_(self.out.conv)

    def read(self, words_BLW: Tensor, counts_BL: Tensor) -> State:
        key_BLC, value_BLC = self.key_value(words_BLW).chunk(2, -1)
        return key_BLC.contiguous(), value_BLC.contiguous(), counts_BL

    def forward(self, x_BTHWC: Tensor, caption: State) -> Tensor:
        key_BLC, value_BLC, counts_BL = state_tensors(caption, 3)
        q = rearrange(self.query(self.norm(x_BTHWC)), "b t h w (heads d) -> b heads (t h w) d", heads=self.heads)
        k, v = (rearrange(each, "b l (heads d) -> b heads l d", heads=self.heads) for each in (key_BLC, value_BLC))
        attended = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), counts_BL[:, None, None])
        (_, t, h, w), back = x_BTHWC.shape[:4], "b heads (t h w) d -> b t h w (heads d)"
        return x_BTHWC + self.out(rearrange(attended, back, t=t, h=h, w=w))  # type: ignore[no-any-return]


def zero_(layer: nn.Linear | nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
