"""Soft assignment: while it is trained, the decoder gets a mixture of codes; when tokens are made, the likeliest code.

With Gumbel noise this is the dVAE of Ramesh et al., "Zero-Shot Text-to-Image Generation" (2021).
"""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.quantize.anneal import Anneal, check_cooling
from tokenizer.quantize.terms import Terms
from tokenizer.quantize.vq import check_codebook


@dataclass(frozen=True)
class SoftVQConfig:
    """`size` codes of `dim` numbers, mixed by softmax(-squared distance / temperature).

    mixture  mean    of all codes by their probabilities
             gumbel  the same with Gumbel noise on the logits: at low temperatures a sample of one code
             top_k   of the `k` likeliest codes
    """

    size: int
    dim: int
    temperature: Anneal
    mixture: Literal["mean", "gumbel", "top_k"] = "gumbel"
    k: int = 4  # mixture: top_k
    hard: bool = False  # decode the likeliest code, with the gradient of the mixture
    commitment_weight: float = 0.0
    terms: Terms | None = None
    kind: Literal["soft_vq"] = "soft_vq"

    def __post_init__(self) -> None:
        check_codebook(self.size, self.dim)
        check_cooling("temperature", self.temperature)
        if self.temperature.end <= 0:
            raise ValueError(f"temperature ends at {self.temperature.end:g}; it must stay positive")
        if not 1 <= self.k <= self.size:
            raise ValueError(f"k = {self.k} must lie in 1 .. {self.size}")
        if self.commitment_weight < 0:
            raise ValueError(f"commitment_weight = {self.commitment_weight:g} must not be negative")

    @property
    def encoding(self) -> dict[str, Any]:
        return {"size": self.size, "dim": self.dim, "kind": self.kind}

    def __str__(self) -> str:
        return f"soft VQ ({self.mixture}) of {self.size:,} codes of {self.dim} numbers"
