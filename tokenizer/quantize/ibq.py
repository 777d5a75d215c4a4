"""Index backpropagation quantization: every code of the codebook gets a gradient at every step.

Published as Shi et al., "Scalable Image Tokenization with Index Backpropagation Quantization" (2024). There a token's
code has the largest product with its latent. A long code then wins over the very latents of shorter ones, and these
tokens would not survive codes -> latents -> codes. So here products count less half the code's squared norm: the
largest is the nearest code's, and among codes of one norm nothing changes: a temperature of 2 is then the published
softmax of products. That was for codes of 256 numbers, whose products differ by tens; short codes need a lower one.

Legend: N.. any leading dimensions, D dimensions, K = 1 code of a token.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.nn import functional as F

from tokenizer.quantize.assignment import mixture
from tokenizer.quantize.codebook import LearnedCodebook
from tokenizer.quantize.revival import Revival
from tokenizer.quantize.terms import Terms, term_losses
from tokenizer.quantize.vq import check_codebook, check_first_samples


@dataclass(frozen=True)
class IBQConfig:
    """`size` codes of `dim` numbers; a token's code is the nearest."""

    size: int
    dim: int
    temperature: float = 0.2  # of softmax(-squared distance / temperature), whose gradient it is
    commitment_weight: float = 0.25  # of the squared distance of latents to their codes
    codebook_weight: float = 1.0  # of the squared distance of codes to their latents
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
        check_first_samples(self.first_samples, self.size)

    @property
    def encoding(self) -> dict[str, Any]:
        return {"size": self.size, "dim": self.dim, "kind": self.kind}

    def __str__(self) -> str:
        return f"IBQ of {self.size:,} codes of {self.dim} numbers"


class IBQ(LearnedCodebook):
    """The value is the nearest code, the gradient that of softmax(-squared distance / temperature) @ codebook."""

    def __init__(self, config: IBQConfig):
        first = config.first, config.first_samples
        super().__init__(config.size, config.dim, True, False, *first, config.revival)
        self.config = config

    def pass_gradient(self, projected_ND: Tensor, quantized_ND: Tensor) -> Tensor:
        codes_ND: Tensor = mixture(projected_ND, self.all_codes, self.config.temperature, hard_ND=quantized_ND)
        return codes_ND

    def losses(self, projected_ND: Tensor, quantized_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        config = self.config
        losses = {
            "commitment": config.commitment_weight * F.mse_loss(projected_ND, quantized_ND.detach()),
            "codebook": config.codebook_weight * F.mse_loss(quantized_ND, projected_ND.detach()),
        }
        return losses | term_losses(config.terms, projected_ND, self.all_codes, codes_NK)
