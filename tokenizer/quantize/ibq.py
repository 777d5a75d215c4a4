"""Index backpropagation quantization: every code of the codebook gets a gradient at every step.

Published as Shi et al., "Scalable Image Tokenization with Index Backpropagation Quantization" (2024).
"""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.quantize.revival import Revival
from tokenizer.quantize.terms import Terms
from tokenizer.quantize.vq import check_codebook


@dataclass(frozen=True)
class IBQConfig:
    """`size` codes of `dim` numbers; a token's code has the largest product with its latent."""

    size: int
    dim: int
    temperature: float = 1.0  # of the softmax over products that carries the gradient
    commitment_weight: float = 0.25
    codebook_weight: float = 1.0
    first: Literal["random", "kmeans", "online"] = "random"
    first_samples: int = 0
    revival: Revival | None = None
    terms: Terms | None = None
    kind: Literal["ibq"] = "ibq"

    def __post_init__(self) -> None:
        check_codebook(self.size, self.dim)
        for name in ("commitment_weight", "codebook_weight", "first_samples"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name):g} must not be negative")
        if self.temperature <= 0:
            raise ValueError(f"temperature = {self.temperature:g} must be positive")
        if 0 < self.first_samples < self.size:
            raise ValueError(f"first_samples = {self.first_samples} must be at least {self.size}, one a code")

    @property
    def encoding(self) -> dict[str, Any]:
        return {"size": self.size, "dim": self.dim, "kind": self.kind}

    def __str__(self) -> str:
        return f"IBQ of {self.size:,} codes of {self.dim} numbers"
