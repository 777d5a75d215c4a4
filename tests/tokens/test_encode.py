"""Tokens on disk equal those of the whole clip at once, at any length, rate, window and vocabulary."""

import math
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokenizer import encode_clip
from tests.tokens.conftest import LENGTHS, contents, make_model, make_videos
from tokenizer.quantize import FSQConfig
from videogen.data import Index, build_index
from videogen.errors import DataError, UsageError
from videogen.io import VideoError, fit, read, scan
from videogen.io.reader import random_access, strict
from videogen.models import TokenizerModel
from videogen.tokens import EncodeSpec, TokenSet, encode, stream


def at_once(model: TokenizerModel, pictures: NDArray[np.uint8]) -> Tensor:
    clip = torch.from_numpy(pictures.transpose(3, 0, 1, 2).astype(np.float32))[None] / 127.5 - 1
    return encode_clip(model.network, clip)[0]


def all_frames(path: Path) -> NDArray[np.uint8]:
    return read(path, range(len(scan(path).pts)))


def test_tokens_are_those_of_the_whole_clip(index: Index, model: TokenizerModel, tmp_path: Path) -> None:
    done = encode(index, tmp_path / "out", model, clips_per_shard=3)
    tokens = TokenSet.open(tmp_path / "out", model.fingerprint)
    assert (done.encoded, done.frames, len(tokens)) == (len(LENGTHS), sum(LENGTHS), len(LENGTHS))
    assert done.latent_frames == sum(1 + -(-(frames - 1) // 4) for frames in LENGTHS)
    for place, clip in enumerate(index.good):
        token_clip = tokens.clip(place)
        assert (token_clip.key, token_clip.caption) == (clip.entry.key, clip.entry.caption)
        assert token_clip.frames == LENGTHS[place]
        assert token_clip.codes.dtype == torch.int64
        assert torch.equal(token_clip.codes, at_once(model, all_frames(index.data / clip.entry.key)))


@pytest.mark.parametrize(("fps", "pick"), [(4, np.arange(13) * 2), (16, np.arange(26) // 2)])
def test_another_rate_picks_frames_by_time(
    index: Index, model: TokenizerModel, tmp_path: Path, fps: float, pick: NDArray[np.int64]
) -> None:
    encode(index, tmp_path / "out", model, EncodeSpec(32, 48, fps))
    tokens, place = TokenSet.open(tmp_path / "out"), LENGTHS.index(13)
    frames = all_frames(index.data / index.good[place].entry.key)
    shown = pick[pick < len(frames)]
    assert tokens.clip(place).frames == len(shown)
    assert torch.equal(tokens.clip(place).codes, at_once(model, frames[shown]))


def test_a_tokenizer_that_is_not_causal_makes_no_set(index: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not causal"):
        encode(index, tmp_path / "out", make_model(tmp_path / "model", causal=False))
    assert not (tmp_path / "out").exists()


def test_another_size_and_a_limit_of_frames(index: Index, model: TokenizerModel, tmp_path: Path) -> None:
    encode(index, tmp_path / "out", model, EncodeSpec(height=24, width=16, fps=8, frames=6))
    tokens = TokenSet.open(tmp_path / "out")
    for place, clip in enumerate(index.good):
        frames = fit(all_frames(index.data / clip.entry.key)[:6], 24, 16)
        assert tokens.clip(place).frames == len(frames)
        assert torch.equal(tokens.clip(place).codes, at_once(model, frames))


def test_windows_are_respected(videos: Path, model: TokenizerModel, tmp_path: Path) -> None:
    manifest = tmp_path / "clips.csv"
    clip = videos / f"clip_{LENGTHS.index(13):03}.mp4"
    manifest.write_text(f"path,caption,start,end\n{clip},middle,0.5,1.0\n{clip},nothing,0.51,0.52\n{clip},rest,1.0,\n")
    done = encode(build_index(manifest, workers=1), tmp_path / "out", model)
    tokens = TokenSet.open(tmp_path / "out")
    clips = {tokens.clip(place).caption: tokens.clip(place) for place in range(len(tokens))}
    assert torch.equal(clips["middle"].codes, at_once(model, all_frames(clip)[4:8]))
    assert torch.equal(clips["rest"].codes, at_once(model, all_frames(clip)[8:]))
    assert (set(clips), len(done.empty)) == ({"middle", "rest"}, 1)


def test_long_clips_are_read_in_bounded_pieces(
    model: TokenizerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = []

    decoded: list[int] = []
    time_of = strict.time_of

    def counted(pictures: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        pieces.append(len(pictures))
        return fit(pictures, height, width)

    def seen(frame: av.VideoFrame) -> int:
        decoded.append(time_of(frame))
        return decoded[-1]

    index = build_index(make_videos(tmp_path / "videos", (150,)), workers=1)
    monkeypatch.setattr(stream, "fit", counted)
    monkeypatch.setattr(random_access, "time_of", seen)
    monkeypatch.setattr(strict, "time_of", seen)
    encode(index, tmp_path / "many", model)
    assert pieces == [64, 64, 22]
    assert decoded == list(index.good[0].scan.pts), "each picture is decoded once, however many pieces there are"
    monkeypatch.setattr(stream, "BYTES_AT_ONCE", 7 * 32 * 48 * 3 + 1)
    encode(index, tmp_path / "few", model)
    assert max(pieces[3:]) == 7
    assert contents(tmp_path / "few") == contents(tmp_path / "many")


@pytest.mark.parametrize(
    ("levels", "stored"),
    [((63, 32, 32), "U16"), ((64, 32, 32), "I32"), ((8,) * 6, "I32")],
)
def test_the_type_on_disk_holds_the_mask_too(
    index: Index, tmp_path: Path, levels: tuple[int, ...], stored: str
) -> None:
    from safetensors import safe_open

    model = make_model(tmp_path / "model", quantizer=FSQConfig(levels=levels))
    encode(index, tmp_path / "out", model)
    with safe_open(tmp_path / "out" / "shard_00000.safetensors", "np") as file:
        assert file.get_slice("ids").get_dtype() == stored
        assert np.iinfo(file.get_tensor("ids").dtype).max >= math.prod(levels)
    tokens = TokenSet.open(tmp_path / "out")
    for place, clip in enumerate(index.good):
        assert torch.equal(tokens.clip(place).codes, at_once(model, all_frames(index.data / clip.entry.key)))


def test_a_file_that_changed_is_refused_and_what_was_made_stays(model: TokenizerModel, tmp_path: Path) -> None:
    index = build_index(make_videos(tmp_path / "videos", (5, 6, 7)), workers=1)
    make_videos(tmp_path / "other", (1, 6, 9))
    calm, out = tmp_path / "calm", tmp_path / "out"
    encode(index, calm, model, clips_per_shard=1)
    changed = index.data / "clip_002.mp4"
    changed.write_bytes((tmp_path / "other" / "clip_002.mp4").read_bytes())
    with pytest.raises(VideoError) as caught:
        encode(index, out, model, clips_per_shard=1)
    assert caught.value.kind == "changed"
    made = contents(out)
    assert made == {name: data for name, data in contents(calm).items() if "00002" not in name}


@pytest.mark.slow
def test_what_goes_wrong_in_a_worker_arrives_as_it_is(model: TokenizerModel, tmp_path: Path) -> None:
    index = build_index(make_videos(tmp_path / "videos", (5, 6, 7)), workers=1)
    (index.data / "clip_001.mp4").unlink()
    with pytest.raises(VideoError, match="clip_001"):
        encode(index, tmp_path / "out", model, clips_per_shard=1, workers=2)


@pytest.mark.parametrize(
    ("cut", "word"),
    [
        (EncodeSpec(20, 48, 8), "height is 20"),
        (EncodeSpec(32, 0, 8), "width is 0"),
        (EncodeSpec(32, 48, 0), "fps is 0"),
        (EncodeSpec(32, 48, 8, frames=0), "frames is 0"),
    ],
)
def test_senseless_cuts_are_refused(
    index: Index, model: TokenizerModel, tmp_path: Path, cut: EncodeSpec, word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        encode(index, tmp_path / "out", model, cut)
    assert not (tmp_path / "out").exists()


def test_a_set_without_a_usable_clip_is_refused(model: TokenizerModel, tmp_path: Path) -> None:
    (make_videos(tmp_path / "videos", (3,)) / "clip_000.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match="1 clips"):
        encode(build_index(tmp_path / "videos", workers=1), tmp_path / "out", model)
