"""What a layout hands its latents to, group by group: to codes for use, or to gradients for training.

Legend: D numbers of a latent, E channels that a quantizer wants: the latent, and more after it for some.
"""

import torch
from torch import Tensor

from tokenizer.quantize import CodebookModule, Quantized


class Coding:
    """The latents and codes of all groups; a later group is given the quantized latents of earlier ones."""

    def __init__(self, quantizer: CodebookModule):
        self.quantizer = quantizer
        self._latents: list[Tensor] = []
        self._codes: list[Tensor] = []

    def __call__(self, group: int, latents_BTNE: Tensor) -> Tensor:
        quantizer = self.quantizer.of_group(group)
        codes_BTNK = quantizer.to_codes(quantizer.project(latents_BTNE))
        self._latents.append(latents_BTNE[..., : quantizer.dim])
        self._codes.append(codes_BTNK)
        return quantizer.lookup(codes_BTNK)

    @property
    def latents(self) -> Tensor:
        """[B, T, N, D] of all groups, before quantization."""
        return torch.cat(self._latents, dim=2)

    @property
    def codes(self) -> Tensor:
        """[B, T, N, K] of all groups."""
        return torch.cat(self._codes, dim=2)


class TrainingCoding:
    """The same with the quantizer's losses and gradients."""

    def __init__(self, quantizer: CodebookModule):
        self.quantizer = quantizer
        self._latents: list[Tensor] = []
        self._outs: list[Quantized] = []

    def __call__(self, group: int, latents_BTNE: Tensor) -> Tensor:
        out = self.quantizer.of_group(group).quantize(latents_BTNE)
        self._latents.append(latents_BTNE[..., : self.quantizer.dim])
        self._outs.append(out)
        return out.latents

    @property
    def latents(self) -> Tensor:
        """[B, T, N, D] of all groups, before quantization."""
        return torch.cat(self._latents, dim=2)

    @property
    def quantized(self) -> Quantized:
        return self.quantizer.join_groups(self._outs)
