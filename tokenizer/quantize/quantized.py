"""What quantization gives, and how parts of it become one.

Legend: N.. any leading dimensions, D dimensions of a latent, K codes of a token, M rows of a sample.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Quantized(NamedTuple):
    latents: Tensor  # [N.., D] for the decoder, with the family's gradients; in evaluation mode those of the codes
    codes: Tensor  # int64 [N.., K]; float32 [N.., D] where tokens are continuous
    losses: dict[str, Tensor]  # named scalars, weighted, to be added to the training loss
    metrics: dict[str, Tensor]  # named scalars without gradients, for the log alone
    statistics: dict[str, Tensor]  # of this batch, for `update`: added over micro-batches and processes
    samples: dict[str, Tensor]  # [M, ...] for `update` as well: concatenated instead of added


def joined(outs: Sequence[Quantized], prefix: Callable[[int], str]) -> Quantized:
    """Several groups of tokens as one. `prefix` of a group's number goes before the names of what `update` gets."""
    tokens = [out.codes.shape[-2] for out in outs]
    metrics = [scaled(out.metrics, each / sum(tokens)) for out, each in zip(outs, tokens, strict=True)]
    return Quantized(
        torch.cat([out.latents for out in outs], dim=-2),
        torch.cat([out.codes for out in outs], dim=-2),
        sums(pair for out in outs for pair in out.losses.items()),
        sums(pair for each in metrics for pair in each.items()),
        sums((prefix(n) + name, value) for n, out in enumerate(outs) for name, value in out.statistics.items()),
        concatenated((prefix(n) + name, rows) for n, out in enumerate(outs) for name, rows in out.samples.items()),
    )


def scaled(figures: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
    return {name: value * weight for name, value in figures.items()}


def lists(pairs: Iterable[tuple[str, Tensor]]) -> dict[str, list[Tensor]]:
    """The tensors of each name."""
    gathered: dict[str, list[Tensor]] = {}
    for name, tensor in pairs:
        gathered.setdefault(name, []).append(tensor)
    return gathered


def sums(pairs: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The sum of the tensors of each name."""
    return {name: torch.stack(tensors).sum(0) for name, tensors in lists(pairs).items()}


def concatenated(pairs: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The rows of each name."""
    return {name: torch.cat(rows) for name, rows in lists(pairs).items()}
