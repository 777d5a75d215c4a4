"""Binary spherical quantization: latents are projected to the unit sphere, then to the nearest corner of a cube.

Published as Zhao et al., "Image and Video Tokenization with Binary Spherical Quantization" (2024). The distance from
latent to code is bounded, so there is no commitment loss. The entropies are those of LFQ, exact over all bits jointly.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import ScalarQuantizer
from tokenizer.quantize.lfq import check_binary_settings, entropy_losses


@dataclass(frozen=True)
class BSQConfig:
    """2^bits different tokens. The logit of a token falls with `sharpness` times its squared distance on the sphere."""

    bits: int
    sharpness: float
    sample_entropy_weight: float
    batch_entropy_weight: float
    kind: Literal["bsq"] = "bsq"

    def __post_init__(self) -> None:
        check_binary_settings(self.bits, self.sharpness, self.sample_entropy_weight, self.batch_entropy_weight)

    @property
    def dim(self) -> int:
        return self.bits

    @property
    def encoding(self) -> dict[str, Any]:
        return {"bits": self.bits, "kind": self.kind}

    def __str__(self) -> str:
        return f"BSQ of {self.bits} bits"


class BSQ(ScalarQuantizer):
    """The quantized latents are the corners of the cube {-r, r}^D inside the unit sphere: r = D^-1/2."""

    def __init__(self, config: BSQConfig):
        super().__init__((2,) * config.bits)
        self.config = config
        self.r: float = config.bits**-0.5

    def project(self, latents_ND: Tensor) -> Tensor:
        return F.normalize(at_least_float32(latents_ND), dim=-1)

    def to_levels(self, projected_ND: Tensor) -> Tensor:
        return (projected_ND > 0).long()

    def from_levels(self, levels_ND: Tensor) -> Tensor:
        return (levels_ND.float() * 2 - 1) * self.r

    def losses(self, projected_ND: Tensor, quantized_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        config = self.config
        logits_ND = 4 * config.sharpness * self.r * projected_ND
        return entropy_losses(logits_ND, config.sample_entropy_weight, config.batch_entropy_weight)
