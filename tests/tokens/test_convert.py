"""A converted token set of version 1 equals a newly encoded one, byte for byte."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.tokens.conftest import contents, make_model
from videogen.data import Index
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.models import TokenizerModel
from videogen.tokens import TokenSet, convert_tokens, encode


@pytest.fixture
def old(index: Index, model: TokenizerModel, tmp_path: Path) -> Path:
    """A set as version 1 wrote it: the shards are the same, the description is not."""
    folder = tmp_path / "old"
    encode(index, folder, model, clips_per_shard=3)
    known = TokenSet.open(folder).description
    version_1 = {
        "format": "videogen-tokens",
        "version": 1,
        "tokenizer": known.tokenizer,
        "cut": asdict(known.clips),
        "data": known.data,
        "vocabulary": 1000,
        "f_t": 4,
        "f_s": 8,
        "clips": known.count,
        "clips_per_shard": 3,
    }
    (folder / "tokens.json").write_text(json.dumps(version_1))
    return folder


def test_a_set_of_version_1_names_the_command(old: Path) -> None:
    with pytest.raises(DataError, match=f"version 1.*videogen convert {old}"):
        TokenSet.open(old)


def test_the_converted_set_is_the_encoded_one(old: Path, index: Index, model: TokenizerModel, tmp_path: Path) -> None:
    convert_tokens(old, tmp_path / "new", model).verify()
    encode(index, tmp_path / "again", model, clips_per_shard=3)
    assert contents(tmp_path / "new") == contents(tmp_path / "again")
    assert encode(index, tmp_path / "new", model, clips_per_shard=3).encoded == 0


def test_what_cannot_be_converted_is_refused(old: Path, model: TokenizerModel, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match=other.fingerprint[:12]):
        convert_tokens(old, tmp_path / "new", other)
    with pytest.raises(UsageError, match="old"):
        convert_tokens(old, old, model)
    shard = old / "shard_00001.safetensors"
    raw = shard.read_bytes()
    shard.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(DataError, match="shard_00001"):
        convert_tokens(old, tmp_path / "new", model)
    shard.unlink()
    with pytest.raises(DataError, match="1 of 3"):
        convert_tokens(old, tmp_path / "new", model)
    assert not (tmp_path / "new").exists()


def test_a_converted_set_is_not_converted_again(old: Path, model: TokenizerModel, tmp_path: Path) -> None:
    convert_tokens(old, tmp_path / "new", model)
    with pytest.raises(UsageError, match="version 2"):
        convert_tokens(tmp_path / "new", tmp_path / "newer", model)
