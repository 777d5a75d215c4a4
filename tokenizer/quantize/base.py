"""What every quantizer promises.

    latents -- bound --> where the codes lie -- to_ids --> ids -- to_latents --> codes

`to_latents` looks at the ids, which on a GPU means waiting for them; `quantize` takes `codes` of ids it has just made.

Legend: N.. any leading dimensions, D dimensions of a latent, V codes. Ids are int64 in 0..V-1.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tokenizer.precision import at_least_float32


class Quantized(NamedTuple):
    latents: Tensor  # [N.., D] codes; the gradient passes straight through to the bounded latents
    ids: Tensor  # int64 [N..]
    losses: dict[str, Tensor]  # named scalars, weighted, to be added to what is minimised


class Quantizer(nn.Module, ABC):
    """A fixed codebook of V codes of D numbers; it has no weights, and its arithmetic is float32 under any autocast."""

    def __init__(self, dim: int, size: int):
        super().__init__()
        self.dim, self.size = dim, size

    @abstractmethod
    def bound(self, latents_ND: Tensor) -> Tensor:
        """The continuous latents in the space of the codes: what quantization would round."""

    @abstractmethod
    def to_ids(self, bounded_ND: Tensor) -> Tensor:
        """The id of the nearest code to each bounded latent; a code's own id for every code, in bfloat16 too."""

    @abstractmethod
    def codes(self, ids_N: Tensor) -> Tensor:
        """The code of each id, float32; anything for what is no id."""

    def to_latents(self, ids_N: Tensor) -> Tensor:
        """The code of each id, float32; ValueError for ids that are no codes, such as the mask."""
        self.check_ids(ids_N)
        return self.codes(ids_N)

    def losses(self, bounded_ND: Tensor, codes_ND: Tensor) -> dict[str, Tensor]:
        """Named, weighted terms that training adds."""
        return {}

    def quantize(self, latents_ND: Tensor) -> Quantized:
        """Codes, ids and losses of what an encoder gives, with gradients."""
        with torch.autocast(latents_ND.device.type, enabled=False):
            bounded_ND = self.bound(at_least_float32(latents_ND))
            ids_N = self.to_ids(bounded_ND.detach())
            codes_ND = self.codes(ids_N).to(bounded_ND.dtype)
            losses = self.losses(bounded_ND, codes_ND)
            return Quantized(bounded_ND + (codes_ND - bounded_ND).detach(), ids_N, losses)

    def check_ids(self, ids_N: Tensor) -> None:
        if ids_N.dtype != torch.int64:
            raise ValueError(f"ids are int64, not {ids_N.dtype}")
        if ((ids_N < 0) | (ids_N >= self.size)).any():  # one question, for a GPU is waited for at each
            raise ValueError(f"ids reach from {ids_N.min()} to {ids_N.max()}; the codes are 0 to {self.size - 1}")
