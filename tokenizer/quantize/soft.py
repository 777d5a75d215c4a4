"""Soft assignment: while it is trained, the decoder gets a mixture of codes; when tokens are made, the likeliest code.

With Gumbel noise this is the dVAE of Ramesh et al., "Zero-Shot Text-to-Image Generation" (2021). The decoder has to
learn what it will get, so the temperature falls: near 0 the mixture is one code.

Legend: N.. any leading dimensions, D dimensions, K = 1 code of a token.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tokenizer.quantize.anneal import Anneal, check_cooling
from tokenizer.quantize.assignment import mixture
from tokenizer.quantize.codebook import LearnedCodebook
from tokenizer.quantize.terms import Terms, term_losses
from tokenizer.quantize.vq import check_codebook


@dataclass(frozen=True)
class SoftVQConfig:
    """`size` codes of `dim` numbers, mixed by softmax(-squared distance / temperature).

    mixture  mean    of all codes by their probabilities
             gumbel  the same with Gumbel noise beside the distances: at low temperatures a sample of one code
             top_k   of the `k` likeliest codes
    """

    size: int
    dim: int
    temperature: Anneal
    mixture: Literal["mean", "gumbel", "top_k"] = "gumbel"
    k: int = 4  # mixture: top_k
    hard: bool = False  # decode the nearest code, with the gradient of the mixture
    commitment_weight: float = 0.0  # of the squared distance of latents to their codes
    terms: Terms | None = None
    kind: Literal["soft_vq"] = "soft_vq"

    def __post_init__(self) -> None:
        check_codebook(self.size, self.dim)
        check_cooling("temperature", self.temperature)
        if self.temperature.end <= 0:
            raise ValueError(f"temperature ends at {self.temperature.end:g}; it must stay positive")
        if self.mixture == "top_k" and not 1 <= self.k <= self.size:
            raise ValueError(f"k = {self.k} must lie in 1 .. {self.size}")
        if self.commitment_weight < 0:
            raise ValueError(f"commitment_weight = {self.commitment_weight:g} must not be negative")

    @property
    def encoding(self) -> dict[str, Any]:
        return {"size": self.size, "dim": self.dim, "kind": self.kind}

    def __str__(self) -> str:
        return f"soft VQ ({self.mixture}) of {self.size:,} codes of {self.dim} numbers"


class SoftVQ(LearnedCodebook):
    """While the codebook is trained, the latents are a mixture of codes; a token's code is always the nearest.

    Where the codebook is frozen, the decoder alone is trained, and gets what it will get from tokens: codes.
    """

    temperature: Tensor

    def __init__(self, config: SoftVQConfig):
        super().__init__(config.size, config.dim, by_gradient=True)
        self.config = config
        start = torch.tensor(float(config.temperature.start))
        self.register_buffer("temperature", start, persistent=False)  # it follows from the step

    def set_step(self, step: int) -> None:
        super().set_step(step)
        self.temperature.fill_(self.config.temperature.at(step))

    def pass_gradient(self, projected_ND: Tensor, quantized_ND: Tensor) -> Tensor:
        if not (self.training and self.codebook.requires_grad):
            return quantized_ND
        config = self.config
        mixed_ND: Tensor = mixture(
            projected_ND,
            self.all_codes,
            self.temperature,
            k=config.k if config.mixture == "top_k" else None,
            noisy=config.mixture == "gumbel",
            hard_ND=quantized_ND if config.hard else None,
        )
        return mixed_ND

    def losses(self, projected_ND: Tensor, quantized_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        losses = term_losses(self.config.terms, projected_ND, self.all_codes, codes_NK)
        if self.config.commitment_weight:
            losses["commitment"] = self.config.commitment_weight * F.mse_loss(projected_ND, quantized_ND.detach())
        return losses

    def metrics(self, latents_ND: Tensor, quantized_ND: Tensor) -> dict[str, Tensor]:
        """`soft_hard_gap`: how far the mixture is from the code that decoding gets, in deviations of the codes."""
        spread = self.codebook.detach().var(0, correction=0).mean()
        gap = F.mse_loss(latents_ND, quantized_ND) / spread.clamp_min(torch.finfo(spread.dtype).tiny)
        return {"soft_hard_gap": gap, "temperature": self.temperature.clone()}
