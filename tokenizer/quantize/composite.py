"""The base of quantizers that are made of other quantizers.

Legend: N.. any leading dimensions, D dimensions of a latent, K codes of a token, M rows of a sample.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokenizer.quantize.base import CodebookModule, Quantizer
from tokenizer.quantize.quantized import Quantized, concatenated, sums


class Composite(Quantizer):
    """One quantizer for each of `count` places of a token, or a single one that all places share.

    A token's codes are those of the first place, then those of the second, and so on. Statistics, samples and
    replaced rows have the name of the module in front, such as `levels.3.`, so that each quantizer gets its own.
    """

    noun: ClassVar[str]  # the name of the list of modules, as in the names of saved tensors

    def __init__(self, dim: int, quantizers: Sequence[Quantizer], count: int):
        assert len(quantizers) in (1, count)
        places = tuple(quantizers) if len(quantizers) == count else (quantizers[0],) * count
        super().__init__(dim, [size for place in places for size in place.codebooks])
        self.codes_per_place = [len(place.codebooks) for place in places]
        self.add_module(self.noun, nn.ModuleList(quantizers))

    @property
    def modules_of_places(self) -> nn.ModuleList:
        """Each quantizer once."""
        return getattr(self, self.noun)  # type: ignore[no-any-return]

    @property
    def parts(self) -> tuple[Quantizer, ...]:
        """The quantizer of each place."""
        own: tuple[Quantizer, ...] = tuple(self.modules_of_places)  # type: ignore[arg-type]
        return own if len(own) == len(self.codes_per_place) else own * len(self.codes_per_place)

    def split_codes(self, codes_NK: Tensor) -> tuple[Tensor, ...]:
        """The codes of each place."""
        return torch.split(codes_NK, self.codes_per_place, dim=-1)

    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return update_each(self.modules_of_places, self._prefix, statistics)

    def together(self, latents_ND: Tensor, outs: Sequence[Quantized], counting: Tensor | int) -> Quantized:
        """What the places gave, as one: losses add up, metrics are means over the `counting` places that have any."""
        return Quantized(
            latents_ND,
            torch.cat([out.codes for out in outs], dim=-1),
            sums(pair for out in outs for pair in out.losses.items()),
            {name: total / counting for name, total in sums(p for out in outs for p in out.metrics.items()).items()},
            sums(self._named([out.statistics for out in outs])),
            concatenated(self._named([out.samples for out in outs])),
        )

    def _named(self, tensors: Sequence[Mapping[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """The tensors of each place under the name of its module: places that share one have the same names."""
        for place, mapping in enumerate(tensors):
            for name, tensor in mapping.items():
                yield self._prefix(place % len(self.modules_of_places)) + name, tensor

    def _prefix(self, number: int) -> str:
        return f"{self.noun}.{number}."


def weighted(out: Quantized, weight: Tensor) -> Quantized:
    """With everything that adds up times this weight, 0 or 1, which need not be known here."""
    return out._replace(
        latents=out.latents * weight.to(out.latents.dtype),
        losses={name: value * weight for name, value in out.losses.items()},
        metrics={name: value * weight for name, value in out.metrics.items()},
        statistics={name: value * weight.to(value.dtype) for name, value in out.statistics.items()},
    )


def update_each(
    modules: Iterable[nn.Module], prefix: Callable[[int], str], statistics: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Updates each quantizer with what has its prefix; returns the replaced rows, with the prefixes."""
    replaced: dict[str, Tensor] = {}
    for number, part in enumerate(modules):
        named = prefix(number)
        own = {name.removeprefix(named): value for name, value in statistics.items() if name.startswith(named)}
        if own:
            assert isinstance(part, CodebookModule)
            replaced |= {named + name: rows for name, rows in part.update(own).items()}
    return replaced
