"""What a layout hands its latents to, group by group: to codes for use, or to gradients for training."""

import torch
from torch import Tensor

from tokenizer.quantize import CodebookModule, Quantized


class Coding:
    """The latents and codes of all groups; a later group is told the quantized latents of earlier ones."""

    def __init__(self, quantizer: CodebookModule):
        self.quantizer = quantizer
        self._latents: list[Tensor] = []
        self._codes: list[Tensor] = []

    def __call__(self, group: int, latents_BTND: Tensor) -> Tensor:
        quantizer = self.quantizer.of_group(group)
        codes_BTNK = quantizer.to_codes(quantizer.project(latents_BTND))
        self._latents.append(latents_BTND)
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

    def __call__(self, group: int, latents_BTND: Tensor) -> Tensor:
        out = self.quantizer.of_group(group).quantize(latents_BTND)
        self._latents.append(latents_BTND)
        self._outs.append(out)
        return out.latents

    @property
    def latents(self) -> Tensor:
        """[B, T, N, D] of all groups, before quantization."""
        return torch.cat(self._latents, dim=2)

    @property
    def quantized(self) -> Quantized:
        return self.quantizer.join_groups(self._outs)
