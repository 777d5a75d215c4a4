"""A set opens whole and right, or the error names the damage."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tokens.conftest import LENGTHS, make_model, make_videos
from videogen.data import Index, build_index
from videogen.errors import CheckpointError, DataError, UsageError
from videogen.models import TokenizerModel
from videogen.tokens import EncodeSpec, TokenSet, encode, token_set


@pytest.fixture(scope="module")
def finished(index: Index, model: TokenizerModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokens") / "out"
    encode(index, out, model, clips_per_shard=3)
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def test_rows_are_those_of_the_clip(finished: Path, model: TokenizerModel) -> None:
    tokens = TokenSet.open(finished, model.fingerprint)
    assert tokens.latent_frames().tolist() == [1 + -(-(frames - 1) // 4) for frames in LENGTHS]
    for place in range(len(tokens)):
        codes = tokens.clip(place).codes
        for start, stop in [(0, 0), (0, 1), (1, 3), (-1, None), (2, 99), (3, 1)]:
            assert torch.equal(tokens.codes(place, start, stop), codes[slice(start, stop)])
    for outside in (-1, len(tokens)):
        with pytest.raises(IndexError):
            tokens.clip(outside)


def test_each_of_many_shards_is_opened_once(monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    opened: list[int] = []
    shard = token_set._Shard(("key",), ("caption",), np.array([0, 1]), np.array([1]), None)
    monkeypatch.setattr(token_set, "_open_shard", lambda folder, description, number: opened.append(number) or shard)
    many = replace(TokenSet.open(finished).description, count=1000, clips_per_shard=1)
    tokens = TokenSet(finished, many)
    for _ in range(2):
        assert [tokens.label(row) for row in range(1000)] == [("key", "caption")] * 1000
    assert opened == list(range(1000))


def test_a_set_travels_between_processes(finished: Path) -> None:
    tokens = TokenSet.open(finished)
    tokens.clip(0)
    again = pickle.loads(pickle.dumps(tokens))
    assert torch.equal(again.clip(5).codes, tokens.clip(5).codes)
    assert again.description == tokens.description


def test_tokens_of_another_tokenizer_are_refused(finished: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match=other.fingerprint[:12]):
        TokenSet.open(finished, other.fingerprint)


def test_an_unfinished_set_says_how_much_is_missing(out: Path, index: Index, model: TokenizerModel) -> None:
    (out / "shard_00000.json").unlink()
    (out / "shard_00002.safetensors").unlink()
    with pytest.raises(DataError, match="2 of 3 shards"):
        TokenSet.open(out)
    assert encode(index, out, model, clips_per_shard=3).encoded == 4
    TokenSet.open(out).verify()


def test_any_flipped_byte_of_a_shard_is_found(out: Path) -> None:
    tokens = TokenSet.open(out)
    for name in ("shard_00001.safetensors", "shard_00001.json"):
        raw = (out / name).read_bytes()
        for place in np.random.default_rng(0).integers(0, len(raw), 40):
            if raw[place : place + 1].isspace():  # between the parts of a JSON it may be anything blank
                continue
            (out / name).write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
            with pytest.raises(DataError, match="shard_00001"):
                tokens.verify()
        (out / name).write_bytes(raw)
    tokens.verify()


def test_a_shard_cut_short_is_no_surprise(out: Path) -> None:
    place = out / "shard_00001.safetensors"
    place.write_bytes(place.read_bytes()[:-8])
    with pytest.raises(DataError, match="shard_00001"):
        TokenSet.open(out).clip(3)


def test_a_shard_of_another_place_is_refused(out: Path) -> None:
    for suffix in ("json", "safetensors"):
        shutil.copy(out / f"shard_00002.{suffix}", out / f"shard_00000.{suffix}")  # one clip, not three
    with pytest.raises(DataError, match="shard_00000"):
        TokenSet.open(out).clip(0)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "damaged"), ("[]", "not the description"), ('{"format": "videogen-tokens", "version": 3}', "version 3")],
)
def test_a_foreign_description_is_refused(out: Path, text: str, words: str) -> None:
    (out / "tokens.json").write_text(text)
    with pytest.raises(DataError, match=words):
        TokenSet.open(out)


def test_a_description_with_other_keys_is_refused(out: Path) -> None:
    place = out / "tokens.json"
    place.write_text(place.read_text().replace('"count"', '"kount"'))
    with pytest.raises(DataError, match="kount"):
        TokenSet.open(out)


def test_a_description_with_impossible_numbers_is_refused(out: Path) -> None:
    place = out / "tokens.json"
    place.write_text(place.read_text().replace('"clips_per_shard": 3', '"clips_per_shard": 0'))
    with pytest.raises(DataError, match="clips_per_shard = 0"):
        TokenSet.open(out)


def test_a_folder_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tokens\.json"):
        TokenSet.open(tmp_path)


CUT = EncodeSpec(32, 48, 8)


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        (replace(CUT, height=24), "another height (32 there, 24 now)"),
        (replace(CUT, width=32), "another width (48 there, 32 now)"),
        (replace(CUT, fps=4), "another frame rate (8 there, 4 now)"),
        (replace(CUT, frames=3), "another limit of frames (none there, 3 now)"),
    ],
)
def test_another_cut_does_not_mix(out: Path, index: Index, model: TokenizerModel, cut: EncodeSpec, words: str) -> None:
    with pytest.raises(UsageError) as refusal:
        encode(index, out, model, cut, clips_per_shard=3)
    assert words in str(refusal.value)
    assert "another folder" in str(refusal.value)


def test_another_tokenizer_data_or_shard_size_does_not_mix(
    out: Path, index: Index, model: TokenizerModel, tmp_path: Path
) -> None:
    other = make_model(tmp_path / "other", seed=1)
    with pytest.raises(UsageError, match=f"{model.fingerprint[:12]}.*{other.fingerprint[:12]}"):
        encode(index, out, other, clips_per_shard=3)
    with pytest.raises(UsageError, match="3 there, 4 now"):
        encode(index, out, model, clips_per_shard=4)
    videos = make_videos(tmp_path / "videos", (3, 5))
    with pytest.raises(UsageError, match="captions"):
        encode(build_index(videos, workers=1), out, model, clips_per_shard=3)
    encode(build_index(videos, workers=1), tmp_path / "new", model)
    (videos / "clip_001.txt").write_text("another caption")
    with pytest.raises(UsageError, match="captions"):
        encode(build_index(videos, workers=1), tmp_path / "new", model)
    TokenSet.open(out, model.fingerprint).verify()


def test_a_folder_with_other_things_is_not_written_into(index: Index, model: TokenizerModel, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        encode(index, tmp_path, model)
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        encode(index, tmp_path / "holiday.jpg", model)
