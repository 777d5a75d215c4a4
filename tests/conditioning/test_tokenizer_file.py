"""The tokenizer of a public language model: the words around a caption, and strict reading of its file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conditioning.tokenizer_files import SPECIAL, byte_tokenizer
from videogen.checkpoint import write_folder
from videogen.conditioning import TokenizerFileConfig, load_conditioner
from videogen.conditioning.tokenizer_file import TokenizerFileConditioner, check_ids, load_tokenizer_file
from videogen.errors import CheckpointError

CONFIG = TokenizerFileConfig(
    vocabulary=65_536, length=12, template="say:\n {caption}", first="<s>", last="<reserved08706>"
)


def conditioner(**changes: Any) -> TokenizerFileConditioner:
    return load_tokenizer_file(replace(CONFIG, **changes), byte_tokenizer(), "tokenizer.json")


def ids_of(text: str) -> list[int]:
    return [30_000 + byte for byte in text.encode()]


def test_words_and_tokens_stand_around_a_caption() -> None:
    text = conditioner()([" a\tb ", "", " \n"])
    assert text.content[0].tolist() == [0, *ids_of("say:\n a b"), 8710, 0]
    assert text.mask.tolist() == [[True] * 11 + [False], [False] * 12, [False] * 12]


def test_a_long_caption_is_cut_but_not_the_tokens_around_it() -> None:
    text = conditioner()
    assert text.too_long(["abcd", "abcde"]) == 1
    assert text(["abcdefgh"]).content[0].tolist() == [0, *ids_of("say:\n abcd"), 8710]


def test_names_of_special_tokens_in_a_caption_are_text() -> None:
    ids = conditioner(length=40).token_ids("<s>")
    assert ids == [0, *ids_of("say:\n <s>"), 8710]


def test_a_folder_holds_the_same_conditioner(tmp_path: Path) -> None:
    text = conditioner()
    loaded = load_conditioner(write_folder(tmp_path / "model", text.files()))
    assert loaded.fingerprint == text.fingerprint != conditioner(template="{caption}").fingerprint
    assert (loaded.length, loaded.vocabulary, loaded.features) == (12, 65_536, None)
    assert torch.equal(loaded(["a b"]).content, text(["a b"]).content)


def test_other_files_are_refused() -> None:
    for changes, said in (
        ({"first": "<t>"}, "tokenizer.json: has no token '<t>'"),
        ({"vocabulary": 260}, "ids; the prior embeds 260"),
        ({"length": 2}, "leaves no room"),
    ):
        with pytest.raises(CheckpointError, match=said):
            conditioner(**changes)
    with pytest.raises(CheckpointError, match=r"tokenizer.json: not a tokenizer \("):
        load_tokenizer_file(CONFIG, {"model": {}}, "tokenizer.json")
    check_ids(conditioner(), SPECIAL, "here")
    with pytest.raises(CheckpointError, match="here: the id of '<s>' is 0; that of this model is 1"):
        check_ids(conditioner(), {"<s>": 1}, "here")


def test_settings_are_checked() -> None:
    for changes, said in (
        ({"template": "say"}, "has {caption} in it once"),
        ({"template": "{caption} {caption}"}, "has {caption} in it once"),
        ({"vocabulary": 0}, "vocabulary is 0"),
        ({"length": 2000}, "length is 2000"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(CONFIG, **changes)
    assert json.loads(json.dumps(byte_tokenizer())) == byte_tokenizer()
