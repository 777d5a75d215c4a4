"""The tokens of captions, after the latent frames: one vocabulary with the text before the frames.

input     begin  c_1  c_2  ...  c_n  (padding)
target    c_1    c_2  ...  c_n  END

Token c_i has the embedding and the position that it has in the context, and a learned vector that says that it is
an output. The output layer is the table of embeddings: `END` is the id of padding, which no caption contains,
so its row is free. A caption that fills the length of the text ends there, without END.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interfaces.prior import Text
from prior.config import PriorConfig
from prior.context import ContextEmbedding
from prior.heads.base import TokenLosses, code_losses
from prior.rotary import RotaryCache, caption_rotary

END = 0  # also the id of padding


class CaptionTargets(NamedTuple):
    """What a prior learns to write: ids int64 [B, L], and which of them count, bool [B, L]."""

    ids: Tensor
    counted: Tensor


def caption_targets(text: Text) -> CaptionTargets:
    """The tokens of each caption and its END. A blank caption says nothing about a clip, so nothing of it counts."""
    length_B1 = text.mask.sum(1, keepdim=True)
    place_L = torch.arange(text.mask.shape[1], device=text.mask.device)
    counted_BL = (place_L <= length_B1) & (length_B1 > 0)
    return CaptionTargets(text.content.masked_fill(~text.mask, END), counted_BL)


def caption_rotary_of(config: PriorConfig, frame: int, length: int, device: torch.device) -> RotaryCache:
    """The rotary of captions after `frame` latent frames."""
    return caption_rotary(frame, length, config.head_dim, config.theta, device)


class CaptionHead(nn.Module):
    """What captions need besides the embeddings of the context: two vectors."""

    def __init__(self, config: PriorConfig):
        super().__init__()
        if config.context is None or config.context.vocabulary is None:
            raise ValueError("captions = true needs text with a vocabulary (text.kind: bpe): ids can be written")
        self.begin = nn.Parameter(torch.randn(config.width) * 0.02)
        self.output = nn.Parameter(torch.randn(config.width) * 0.02)

    def first(self, context: ContextEmbedding, before_BC: Tensor | None, batch: int) -> Tensor:
        """The input of the first token [B, 1, C].

        In decode order the input of a token is the token before it, so here that is the last token of the video.
        """
        begin_C = self.begin + self.output + context.place.weight[0]
        x_BC = begin_C.expand(batch, -1) if before_BC is None else begin_C + before_BC
        return x_BC.unsqueeze(1)

    def later(self, context: ContextEmbedding, ids_Bn: Tensor, number: int) -> Tensor:
        """The inputs [B, n, C] that tokens number, number + 1, ... of captions are for the tokens after them."""
        places_nC = context.place.weight[number : number + ids_Bn.shape[1]]
        x_BnC: Tensor = context.tokens(ids_Bn) + places_nC + self.output
        return x_BnC

    def inputs(self, context: ContextEmbedding, ids_BL: Tensor, before_BC: Tensor | None) -> Tensor:
        """The inputs of all tokens [B, L, C]."""
        return torch.cat([self.first(context, before_BC, len(ids_BL)), self.later(context, ids_BL[:, :-1], 1)], 1)

    def logits(self, context: ContextEmbedding, features: Tensor) -> Tensor:
        """[..., C] to [..., V]."""
        table: Tensor = context.tokens.weight  # type: ignore[assignment]
        return F.linear(features, table).float()

    def losses(self, context: ContextEmbedding, features: Tensor, ids_BL: Tensor, smoothing: float) -> TokenLosses:
        return code_losses(self.logits(context, features), ids_BL, smoothing)
