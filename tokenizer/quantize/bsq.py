"""Binary spherical quantization: the latent goes to the unit sphere, and from there to the nearest corner of a cube.

Published as Zhao et al., "Image and Video Tokenization with Binary Spherical Quantization" (2024). The distance from
latent to code is bounded, so no commitment is needed; the entropies are those of LFQ, exact here in all bits jointly.
"""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.entropy import bits_of, number_of
from tokenizer.quantize.lfq import check_binary, entropies


@dataclass(frozen=True)
class BSQConfig:
    """2^bits codes. A token's belief in a code falls with `sharpness` times its squared distance on the sphere."""

    bits: int
    sharpness: float
    sample_entropy_weight: float
    batch_entropy_weight: float
    kind: Literal["bsq"] = "bsq"

    def __post_init__(self) -> None:
        check_binary(self.bits, self.sharpness, self.sample_entropy_weight, self.batch_entropy_weight)


class BSQ(Quantizer):
    """Codes are the corners of the cube {-r, r}^D that touches the unit sphere: r = D^-1/2."""

    def __init__(self, config: BSQConfig):
        super().__init__(config.bits, 2**config.bits)
        self.config = config
        self.r: float = config.bits**-0.5

    def bound(self, latents_ND: Tensor) -> Tensor:
        return F.normalize(at_least_float32(latents_ND), dim=-1)

    def to_ids(self, bounded_ND: Tensor) -> Tensor:
        return number_of(bounded_ND > 0)

    def codes(self, ids_N: Tensor) -> Tensor:
        return (bits_of(ids_N, self.dim).float() * 2 - 1) * self.r

    def losses(self, bounded_ND: Tensor, codes_ND: Tensor) -> dict[str, Tensor]:
        config = self.config
        logits_ND = 4 * config.sharpness * self.r * bounded_ND
        return entropies(logits_ND, config.sample_entropy_weight, config.batch_entropy_weight)
