"""The quantizer of the tokens, and another one that is trained beside it, such as that of single images."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from tokenizer.quantize.base import CodebookModule, Quantizer
from tokenizer.quantize.composite import update_each
from tokenizer.quantize.quantized import Quantized

TOKENS, OTHER = "tokens.", "other."


class QuantizerPair(CodebookModule):
    """To the tokens the first one alone; training begins, schedules and updates both. They need not be alike."""

    def __init__(self, tokens: CodebookModule, other: Quantizer):
        super().__init__(tokens.dim, tokens.codebooks)
        self.tokens, self.other = tokens, other

    @property
    def parts(self) -> tuple[Quantizer, ...]:
        own = (self.tokens,) if isinstance(self.tokens, Quantizer) else self.tokens.parts
        return *own, self.other

    def of_group(self, number: int) -> Quantizer:
        return self.tokens.of_group(number)

    def join_groups(self, outs: Sequence[Quantized]) -> Quantized:
        out = self.tokens.join_groups(outs)
        return out._replace(statistics=named(TOKENS, out.statistics), samples=named(TOKENS, out.samples))

    def with_other(self, tokens: Quantized, other: Quantized) -> Quantized:
        """What the tokens gave, with what `update` needs of the other quantizer too."""
        return tokens._replace(
            statistics=tokens.statistics | named(OTHER, other.statistics),
            samples=tokens.samples | named(OTHER, other.samples),
        )

    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return update_each((self.tokens, self.other), (TOKENS, OTHER).__getitem__, statistics)


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}
