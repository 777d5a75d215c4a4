"""Negative log-likelihood of captions given their clips, in nats per token that the prior has to write."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.captions import caption_targets
from prior.likelihood import Losses
from prior.model import PriorBatch


class CaptionLikelihoods(NamedTuple):
    """For each clip, or summed: float64 [3, ...] of nats, correct top-1 guesses and tokens."""

    values: Tensor

    @staticmethod
    def none() -> "CaptionLikelihoods":
        return CaptionLikelihoods(torch.zeros(3, dtype=torch.float64))

    def of(self, clips: slice) -> "CaptionLikelihoods":
        return CaptionLikelihoods(self.values[:, clips])

    def plus(self, clips: "CaptionLikelihoods") -> "CaptionLikelihoods":
        return CaptionLikelihoods(self.values + clips.values.sum(1))

    def over_processes(self, mean: Callable[[Tensor], Tensor]) -> "CaptionLikelihoods":
        """Averaged; all figures are ratios."""
        return CaptionLikelihoods(mean(self.values).cpu())

    def figures(self) -> dict[str, float]:
        """None if no clip has a caption."""
        nats, right, tokens = self.values.tolist()
        return {"caption_nats": nats / tokens, "caption_top_guess": right / tokens} if tokens else {}


def caption_likelihoods(
    losses: Losses, codes_BTNK: Tensor, spec: TokenSpec, masked: bool, caption: Text, control: Tensor | None
) -> CaptionLikelihoods:
    """Evaluates the captions of a batch of clips, which the prior gets without text and without noise."""
    known = torch.zeros(codes_BTNK.shape[:3], dtype=torch.bool, device=codes_BTNK.device) if masked else None
    noise_B = torch.zeros(len(codes_BTNK), device=codes_BTNK.device)
    written = losses(PriorBatch(codes_BTNK, codes_BTNK, known, None, noise_B, spec, control, caption=caption)).caption
    assert written is not None
    counted_BL = caption_targets(caption).counted
    values_3BL = torch.stack([written.nats * counted_BL, written.right * counted_BL, counted_BL.to(written.nats)])
    return CaptionLikelihoods(values_3BL.double().sum(2).cpu())
