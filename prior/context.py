"""The context of a prior: the noise rate of the earlier frames, then the caption."""

import torch
from torch import Tensor, nn

from interfaces.prior import Text
from prior.config import ContextConfig
from prior.linear import Linear


class ContextEmbedding(nn.Module):
    """One position for the noise rate, one for each token of text; they attend to each other, frames to all of them."""

    def __init__(self, config: ContextConfig, width: int):
        super().__init__()
        self.config = config
        self.tokens: nn.Module
        if config.vocabulary is not None:
            self.tokens = nn.Embedding(config.vocabulary, width)
        else:
            assert config.features is not None
            self.tokens = Linear(config.features, width)
        self.place = nn.Embedding(1 + config.length, width)
        self.rate = nn.Parameter(torch.zeros(width))  # multiplied by the noise rate
        self.filling = nn.Parameter(torch.zeros(width))  # padding after a caption
        self.nothing = nn.Parameter(torch.zeros(width))  # instead of a missing caption

    def forward(self, text: Text, rate_B: Tensor) -> Tensor:
        """float [B, 1 + length, C]."""
        self.check(text)
        given = text.mask.any(-1, keepdim=True).unsqueeze(-1)
        content = text.content.to(self.rate.dtype) if text.content.is_floating_point() else text.content
        words = torch.where(text.mask.unsqueeze(-1), self.tokens(content), self.filling)
        words = torch.where(given, words, self.nothing)
        rate = rate_B.to(words.dtype)[:, None, None] * self.rate
        return torch.cat([rate, words], 1) + self.place.weight

    def check(self, text: Text) -> None:
        wanted = (self.config.length,) if self.config.features is None else (self.config.length, self.config.features)
        if tuple(text.content.shape[1:]) != wanted:
            raise ValueError(f"text of shape {tuple(text.content.shape[1:])}; this prior takes {wanted}")
        if text.mask.shape != text.content.shape[:2]:
            raise ValueError(f"a mask of shape {tuple(text.mask.shape)} for text of {tuple(text.content.shape[:2])}")
