"""A token set in a bucket is copied once, checked, and equal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from tests.tokens.conftest import make_model, make_videos
from videogen.data import build_index
from videogen.errors import DataError
from videogen.storage import location
from videogen.tokens import TokenSet, encode
from videogen.tokens import remote as remote_tokens

URL = location("memory://bucket/tokens")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("VIDEOGEN_CACHE", str(tmp_path / "cache"))
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def test_rows_are_those_of_the_folder(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path / "model")
    encode(build_index(make_videos(tmp_path / "videos", (9, 13, 5)), workers=1), tmp_path / "tokens", model, None, 2)
    here = TokenSet.open(tmp_path / "tokens")
    store.put(f"{tmp_path / 'tokens'}/", "memory://bucket/tokens/", recursive=True)
    there = TokenSet.open(URL)
    assert there.description == here.description
    for row in range(len(here)):
        assert torch.equal(there.codes(row), here.codes(row))
        assert there.label(row) == here.label(row)
    there.verify()
    monkeypatch.setattr(remote_tokens, "_write", lambda place, content: 1 / 0 if "shard" in place.name else None)
    assert len(TokenSet.open(URL)) == 3
    (there.folder / "shard_00000.safetensors").write_bytes(b"damaged")
    store.pipe("/bucket/tokens/shard_00000.safetensors", b"damaged too")
    with pytest.raises(DataError, match=r"shard_00000.safetensors: not the bytes that were written"):
        TokenSet.open(URL)
