"""A semantic and a pixel codebook under one index: the code whose weighted distances to both parts are smallest.

Published as Qu et al., "TokenFlow: Unified Image Tokenizer for Multimodal Understanding and Generation" (2024). A
weighted sum of squared distances is the squared distance of channels scaled by the root of their weight, so this is
one vector quantization of scaled channels: moving averages, revival and k-means are those of VQ.

Legend: N.. any leading dimensions, D dimensions of a latent, S of them semantic, K = 1 code of a token.
"""

import math

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.composite import Composite
from tokenizer.quantize.config import DualConfig
from tokenizer.quantize.quantized import Quantized


class Dual(Composite):
    """Latents of S semantic channels, then the channels of pixels."""

    noun = "joint"
    scale: Tensor

    def __init__(self, config: DualConfig, quantizer: Quantizer):
        super().__init__(config.dim, [quantizer], 1)
        self.config = config
        semantic = [math.sqrt(config.semantic_weight)] * config.semantic_dim
        scale = torch.tensor([*semantic, *[1.0] * (config.dim - config.semantic_dim)])
        self.register_buffer("scale", scale, persistent=False)

    @property
    def joint_quantizer(self) -> Quantizer:
        return self.parts[0]

    def project(self, latents_ND: Tensor) -> Tensor:
        return self.joint_quantizer.project(at_least_float32(latents_ND) * self.scale) / self.scale

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        return self.joint_quantizer.to_codes(at_least_float32(projected_ND) * self.scale)

    def lookup(self, codes_NK: Tensor) -> Tensor:
        return self.joint_quantizer.lookup(codes_NK) / self.scale

    def semantic(self, codes_NK: Tensor) -> Tensor:
        """The semantic parts [N.., S] of these codes; ValueError for codes out of range."""
        return self.to_latents(codes_NK)[..., : self.config.semantic_dim]

    def pixel(self, codes_NK: Tensor) -> Tensor:
        """The pixel parts [N.., D - S] of these codes; ValueError for codes out of range."""
        return self.to_latents(codes_NK)[..., self.config.semantic_dim :]

    def quantize_projected(self, projected_ND: Tensor) -> Quantized:
        out = self.joint_quantizer.quantize_projected(projected_ND * self.scale)
        return self.together(out.latents / self.scale, [out], 1)
