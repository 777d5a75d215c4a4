"""Product quantization: groups of neighboring channels, each quantized on its own.

Published as Jégou et al., "Product Quantization for Nearest Neighbor Search" (2011); with learned codes it is the
grouped quantization of wav2vec 2.0 and, over residual levels, of HiFi-Codec.

Legend: N.. any leading dimensions, D dimensions of a latent, K codes of a token.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.composite import Composite
from tokenizer.quantize.config import ProductConfig
from tokenizer.quantize.quantized import Quantized


class Product(Composite):
    """The codes of a token are those of its first group, then those of the second, and so on."""

    noun = "groups"

    def __init__(self, config: ProductConfig, quantizers: Sequence[Quantizer]):
        super().__init__(config.dim, quantizers, config.groups)

    def project(self, latents_ND: Tensor) -> Tensor:
        return torch.cat([part.project(group) for part, group in self._groups(latents_ND)], dim=-1)

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        return torch.cat([part.to_codes(group) for part, group in self._groups(projected_ND)], dim=-1)

    def lookup(self, codes_NK: Tensor) -> Tensor:
        pairs = zip(self.parts, self.split_codes(codes_NK), strict=True)
        return torch.cat([part.lookup(codes) for part, codes in pairs], dim=-1)

    def quantize_projected(self, projected_ND: Tensor) -> Quantized:
        outs = [part.quantize_projected(group) for part, group in self._groups(projected_ND)]
        return self.together(torch.cat([out.latents for out in outs], dim=-1), outs, len(outs))

    def _groups(self, x_ND: Tensor) -> list[tuple[Quantizer, Tensor]]:
        return list(zip(self.parts, x_ND.chunk(len(self.parts), dim=-1), strict=True))
