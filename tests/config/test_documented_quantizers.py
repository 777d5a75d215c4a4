"""The quantizers that docs/tokenizer.md shows can be set as they stand there, and have the bits that it says."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from tokenizer.quantize import QuantizerConfig, make_quantizer
from videogen.config.bind import bind
from videogen.config.strict_yaml import Mapping, parse

DOCS = Path(__file__).parents[2] / "docs/tokenizer.md"


@dataclass(frozen=True)
class Section:
    quantizer: QuantizerConfig


def test_documented_quantizers_are_valid() -> None:
    text, bits = DOCS.read_text(), {}
    for block in re.findall(r"```yaml\n(quantizer:.*?)```", text, re.DOTALL):
        tree = parse(block, str(DOCS))
        assert isinstance(tree, Mapping)
        config = bind(Section, tree).value.quantizer
        bits[config.kind] = math.log2(math.prod(make_quantizer(config).codebooks))
    combinators = {"residual": 80, "product": 80, "multi_head": 40, "dual": 15}
    assert bits == combinators | {"vq": 10, "ibq": 14, "soft_vq": 13}
    for kind, count in combinators.items():
        (paragraphs,) = re.findall(rf"\*\*`{kind}`\*\*.*?```yaml", text, re.DOTALL)
        assert re.search(rf"\b{count:g}\s+bits", paragraphs), kind
