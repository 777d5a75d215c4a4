"""The settings of text conditioning, and the imports of the package."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from videogen.conditioning import BPEConfig, EncoderConfig, TextConfig
from videogen.config.bind import bind
from videogen.config.strict_yaml import ConfigError, parse
from videogen.config.strict_yaml import Mapping as Section


@dataclass(frozen=True)
class Holder:
    text: TextConfig


def bound(text: str) -> TextConfig:
    tree = parse(text, "a.yaml")
    assert isinstance(tree, Section)
    return bind(Holder, tree).value.text


def test_the_two_kinds_are_told_apart() -> None:
    assert bound("text:\n  kind: bpe\n  vocabulary: 300\n") == BPEConfig(vocabulary=300)
    assert bound("text:\n  kind: encoder\n  model: some/encoder\n  length: 77\n") == EncoderConfig(
        "some/encoder", length=77
    )


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("kind: bpe, vocabulary: 256", "text.vocabulary"),
        ("kind: bpe, vocabulary: 70000", "text.vocabulary"),
        ("kind: bpe, length: 0", "text.length"),
        ("kind: encoder, model: ''", "text.model"),
        ("kind: encoder, model: a, length: 2000", "text.length"),
        ("kind: encoder, model: a, subfolder: ../b", "text.subfolder"),
        ("kind: encoder, model: a, tokenizer_subfolder: /b", "text.tokenizer_subfolder"),
        ("kind: encoder", "text.model"),
    ],
)
def test_what_cannot_be_is_refused_at_its_key(settings: str, key: str) -> None:
    lines = "".join(f"  {setting}\n" for setting in settings.split(", "))
    with pytest.raises(ConfigError, match=key) as caught:
        bound(f"text:\n{lines}")
    assert "\n" not in str(caught.value)


def test_the_package_is_light() -> None:
    program = "import sys, videogen.conditioning; print({'torch', 'transformers', 'tokenizers'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
