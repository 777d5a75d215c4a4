"""No codebook: a token is the latent itself, as it is or as the mean of a distribution.

The second is the autoencoder of Kingma and Welling, "Auto-Encoding Variational Bayes" (2013), with a small weight of
its KL term as in Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022).

Legend: N.. any leading dimensions, D numbers of a token, E channels of the encoder: D, or 2 D with log variances.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.quantized import Quantized

LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -30.0, 20.0  # beyond them exp is of no use in float32


@dataclass(frozen=True)
class ContinuousConfig:
    """With a `kl_weight` the encoder gives a mean and a log variance of each number, and a sample is decoded.

    Without one, `noise` may be added: the decoder then bears what a prior gets wrong. `spread_weight` of the tokenizer
    keeps the encoder from drowning the noise in larger latents.
    """

    dim: int
    kl_weight: float = 0.0  # of the divergence from a standard normal distribution, in nats a token
    noise: float = 0.0  # the standard deviation of what is added to latents in training; 0: nothing
    kind: Literal["continuous"] = "continuous"

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim = {self.dim} must be at least 1")
        for name, value in (("kl_weight", self.kl_weight), ("noise", self.noise)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} = {value:g} must be a number of at least 0")
        if self.kl_weight and self.noise:
            raise ValueError(f"noise = {self.noise:g} must be 0 with a kl_weight: the encoder gives its own variance")

    @property
    def encoder_dim(self) -> int:
        return 2 * self.dim if self.kl_weight else self.dim

    @property
    def encoding(self) -> dict[str, Any]:
        return {"dim": self.dim, "kind": self.kind}

    def __str__(self) -> str:
        kl = f", KL weight {self.kl_weight:g}" if self.kl_weight else ""
        noise = f", noise of {self.noise:g}" if self.noise else ""
        return f"continuous, {self.dim} numbers a token{kl}{noise}"


class Continuous(Quantizer):
    """Codes are the latents, float32 [N.., D]: the means. In training, the decoder gets samples around them."""

    def __init__(self, config: ContinuousConfig):
        super().__init__(config.dim, ())
        self.config = config

    def project(self, latents_NE: Tensor) -> Tensor:
        return at_least_float32(latents_NE[..., : self.dim])

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        return projected_ND.float()

    def lookup(self, codes_ND: Tensor) -> Tensor:
        return codes_ND.float()

    def check_codes(self, codes_ND: Tensor) -> None:
        if not codes_ND.is_floating_point() or codes_ND.shape[-1:] != (self.dim,):
            raise ValueError(f"codes are {codes_ND.dtype} {list(codes_ND.shape)}; expected float32 [..., {self.dim}]")

    def quantize(self, latents_NE: Tensor) -> Quantized:
        with torch.autocast(latents_NE.device.type, enabled=False):
            mean_ND = self.project(latents_NE)
            if not self.config.kl_weight:
                return self._quantized(mean_ND, self._around(mean_ND, self.config.noise), {}, {})
            log_variance_ND = at_least_float32(latents_NE[..., self.dim :])
            log_variance_ND = log_variance_ND.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)
            nats = kl_to_standard_normal(mean_ND, log_variance_ND)
            passed_ND = self._around(mean_ND, (log_variance_ND / 2).exp())
            return self._quantized(mean_ND, passed_ND, {"kl": self.config.kl_weight * nats}, {"kl_nats": nats.detach()})

    def quantize_projected(self, projected_ND: Tensor) -> Quantized:
        return self._quantized(projected_ND, projected_ND, {}, {})

    def _around(self, mean_ND: Tensor, deviation: Tensor | float) -> Tensor:
        """A sample in training, the mean in evaluation."""
        if not self.training or (isinstance(deviation, float) and deviation == 0):
            return mean_ND
        return mean_ND + deviation * torch.randn_like(mean_ND)

    def _quantized(
        self, mean_ND: Tensor, passed_ND: Tensor, losses: dict[str, Tensor], metrics: dict[str, Tensor]
    ) -> Quantized:
        return Quantized(passed_ND, self.to_codes(mean_ND.detach()), losses, metrics, {}, {})


def kl_to_standard_normal(mean_ND: Tensor, log_variance_ND: Tensor) -> Tensor:
    """The divergence of N(mean, variance) from N(0, 1), summed over a token's numbers: nats a token, on average."""
    each_ND = (mean_ND.square() + log_variance_ND.exp() - 1 - log_variance_ND) / 2
    return each_ND.sum(-1).mean()
