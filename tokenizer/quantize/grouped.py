"""A quantizer for each group of tokens, such as one for the coarse and one for the fine tokens."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from tokenizer.quantize.base import CodebookModule, Quantizer
from tokenizer.quantize.composite import update_each
from tokenizer.quantize.quantized import Quantized, joined


class GroupedQuantizer(CodebookModule):
    """All have codebooks of the same sizes, because all tokens of a latent frame have."""

    def __init__(self, quantizers: Sequence[Quantizer]):
        super().__init__(quantizers[0].dim, quantizers[0].codebooks)
        assert all(each.codebooks == self.codebooks and each.dim == self.dim for each in quantizers)
        self.groups = nn.ModuleList(quantizers)

    @property
    def parts(self) -> tuple[Quantizer, ...]:
        return tuple(self.groups)  # type: ignore[arg-type]

    def of_group(self, number: int) -> Quantizer:
        return self.parts[number]

    def join_groups(self, outs: Sequence[Quantized]) -> Quantized:
        return joined(outs, prefix_of)

    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return update_each(self.groups, prefix_of, statistics)


def prefix_of(number: int) -> str:
    return f"groups.{number}."
