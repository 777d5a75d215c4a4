"""Encodes clips, and keeps their codes and some of the latents that each quantizer saw.

Legend: C clips, T latent frames, N tokens of a latent frame, K codes of a token, M latents of D numbers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.tokenizer import encode_clip
from tokenizer.quantize.base import Quantizer
from videogen.data import ClipDataset
from videogen.io.pixels import to_clip
from videogen.models import TokenizerModel

OnProgress = Callable[[int, int], None]
KEPT_LATENTS = 20_000  # of each quantizer


class SeenLatents(NamedTuple):
    """Latents in the space of the codebook and the quantized latents of their codes, float32 [M, D] on the CPU."""

    latents_MD: Tensor
    quantized_MD: Tensor


@dataclass(frozen=True, eq=False)
class CodeSurvey:
    """What was seen in a data set."""

    codes_CTNK: Tensor  # int32 on the CPU
    seen: dict[Quantizer, SeenLatents]  # by leaf

    @property
    def tokens(self) -> int:
        return self.codes_CTNK.shape[:-1].numel()


@torch.no_grad()
def survey(
    model: TokenizerModel, leaves: Sequence[Quantizer], dataset: ClipDataset, count: int, on_progress: OnProgress | None
) -> CodeSurvey:
    """The first `count` clips of the data set's first epoch, a random choice."""
    share = math.ceil(KEPT_LATENTS / count)
    codes, kept = [], {leaf: list[SeenLatents]() for leaf in leaves}
    for number in range(count):
        clip = to_clip(torch.from_numpy(dataset.sample(0, number).clip)[None].to(model.device))
        with record_latents(leaves) as recorded:
            codes.append(encode_clip(model.network, clip)[0].int().cpu())
        for leaf, pairs in recorded.items():
            kept[leaf] += [_spread(_joined(pairs), share)] if pairs else []
        if on_progress is not None:
            on_progress(number + 1, count)
    seen = {leaf: _joined(pieces) for leaf, pieces in kept.items() if pieces}
    return CodeSurvey(torch.stack(codes), seen)


def _joined(pieces: Sequence[SeenLatents]) -> SeenLatents:
    return SeenLatents(*map(torch.cat, zip(*pieces, strict=True)))


def _spread(seen: SeenLatents, most: int) -> SeenLatents:
    """At most `most` of the latents, evenly spaced."""
    count = len(seen.latents_MD)
    chosen = torch.linspace(0, count - 1, min(count, most)).round().long()
    return SeenLatents(seen.latents_MD[chosen], seen.quantized_MD[chosen])


@contextmanager
def record_latents(leaves: Sequence[Quantizer]) -> Iterator[dict[Quantizer, list[SeenLatents]]]:
    """Keeps what these quantizers quantize meanwhile: inside a combinator, latents are known to its parts alone."""
    recorded: dict[Quantizer, list[SeenLatents]] = {leaf: [] for leaf in leaves}
    for leaf in leaves:
        leaf.__dict__["to_codes"] = _recorder(leaf, recorded[leaf])
    try:
        yield recorded
    finally:
        for leaf in leaves:
            del leaf.__dict__["to_codes"]


def _recorder(leaf: Quantizer, into: list[SeenLatents]) -> Callable[[Tensor], Tensor]:
    to_codes = leaf.to_codes

    def to_codes_and_keep(projected_ND: Tensor) -> Tensor:
        codes_NK = to_codes(projected_ND)
        pair = projected_ND, leaf.lookup(codes_NK)
        into.append(SeenLatents(*(each.float().flatten(0, -2).cpu() for each in pair)))
        return codes_NK

    return to_codes_and_keep
