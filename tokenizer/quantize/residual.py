"""Residual quantization: each level quantizes what the levels before it have left over.

Used for sound by Zeghidour et al., "SoundStream" (2021), for images by Lee et al., "Autoregressive Image Generation
using Residual Quantization" (2022). The latent of a token is the sum of its levels' latents.

Legend: N.. any leading dimensions, D dimensions of a latent, K codes of a token, L levels.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tokenizer.precision import at_least_float32
from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.composite import Composite, weighted
from tokenizer.quantize.config import ResidualConfig
from tokenizer.quantize.quantized import Quantized


class Residual(Composite):
    """Latents are projected once, as the first level does it; later levels take what is left over as it is."""

    noun = "levels"

    def __init__(self, config: ResidualConfig, quantizers: Sequence[Quantizer]):
        super().__init__(config.dim, quantizers, config.depth)
        self.config = config
        self.scales = [config.scale**level for level in range(config.depth)]

    def project(self, latents_ND: Tensor) -> Tensor:
        return self.parts[0].project(latents_ND)

    def to_codes(self, projected_ND: Tensor) -> Tensor:
        left_ND, codes = at_least_float32(projected_ND), []
        for level, scale in self._levels():
            codes.append(level.to_codes(left_ND / scale))
            left_ND = left_ND - self._value(level, codes[-1], scale, left_ND)
        return torch.cat(codes, dim=-1)

    def lookup(self, codes_NK: Tensor) -> Tensor:
        places = zip(self._levels(), self.split_codes(codes_NK), strict=True)
        return add_up([level.lookup(codes) * scale for (level, scale), codes in places])

    def prefix(self, codes_NK: Tensor, levels: int) -> Tensor:
        """The quantized latents of the first levels alone; codes of later levels may be missing."""
        if not 1 <= levels <= self.config.depth:
            raise ValueError(f"levels = {levels} must lie in 1 .. {self.config.depth}")
        counts = self.codes_per_place[:levels]
        if codes_NK.shape[-1] < sum(counts):
            raise ValueError(f"codes are {list(codes_NK.shape)}; {levels} levels have {sum(counts)} codes a token")
        codes = torch.split(codes_NK[..., : sum(counts)], counts, dim=-1)
        pairs = zip(self._levels(), codes, strict=False)
        return add_up([level.to_latents(its_codes) * scale for (level, scale), its_codes in pairs])

    def quantize_projected(self, projected_ND: Tensor) -> Quantized:
        """The encoder gets the decoder's gradient once, not once from each level, and what each level adds to it.

        Straight-through levels add nothing; rotations and mixtures add by how much theirs differs.
        """
        used_L = self._draw_used(projected_ND.device)
        left_ND, outs, lefts = projected_ND, [], {}
        for number, (level, scale) in enumerate(self._levels()):
            out = level.quantize_projected(left_ND / scale)
            if any(earlier.looks_for_codes for earlier in self.parts[:number]):
                out = out._replace(samples={})  # what is left now has nothing to do with what will be left
            out = out._replace(latents=out.latents * scale - without_value(left_ND))
            outs.append(out if used_L is None else weighted(out, used_L[number]))
            left_ND = left_ND - self._value(level, out.codes, scale, left_ND)
            lefts[f"left_after_{number + 1}"] = relative_size(left_ND.detach(), projected_ND.detach())
        latents_ND = add_up([out.latents for out in outs]) + without_value(projected_ND)
        together = self.together(latents_ND, outs, len(outs) if used_L is None else used_L.sum())
        return together._replace(metrics={**together.metrics, **lefts})

    def _draw_used(self, device: torch.device) -> Tensor | None:
        """Which levels this batch uses, 1 or 0, drawn on the device so that nobody waits; None: all of them.

        A level that is not used still takes part, with weight 0: so all processes have the same parameters and
        statistics in each step.
        """
        if not (self.training and self.config.dropout and self.config.depth > 1):
            return None
        depth = self.config.depth
        fewer = torch.rand((), device=device) < self.config.dropout
        count = torch.where(fewer, torch.randint(depth, (), device=device) + 1, depth)
        return (torch.arange(depth, device=device) < count).float()

    def _levels(self) -> Iterator[tuple[Quantizer, float]]:
        return zip(self.parts, self.scales, strict=True)

    def _value(self, level: Quantizer, codes: Tensor, scale: float, like_ND: Tensor) -> Tensor:
        """What a level takes away: the value of its codes, in training too, so that codes are those of `to_codes`."""
        return (level.lookup(codes).detach() * scale).to(like_ND.dtype)


def add_up(terms: Sequence[Tensor]) -> Tensor:
    """The sum in this order, so that the first few terms alone are on the way to it."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def without_value(x: Tensor) -> Tensor:
    """Zero, with the gradient of x."""
    return x - x.detach()


def relative_size(x: Tensor, whole: Tensor) -> Tensor:
    return (x.square().mean() / whole.square().mean().clamp_min(torch.finfo(x.dtype).tiny)).sqrt()
