"""Rows of control files reach their latent frames; a file that does not fit gives one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prior.config import ControlConfig
from tests.tokens.conftest import contents, make_videos
from videogen.data import Index, build_index
from videogen.errors import DataError, UsageError
from videogen.models import TokenizerModel
from videogen.tokens import EncodeSpec, TokenSet, encode
from videogen.tokens.windows import TokenWindows

LENGTHS = (5, 9, 13)


def actions(frames: int) -> NDArray[Any]:
    return np.arange(frames) % 4


def numbers(frames: int) -> NDArray[Any]:
    return np.stack([np.arange(frames), np.ones(frames)], -1).astype(np.float64)


def with_controls(folder: Path, control: Any = actions) -> Index:
    make_videos(folder, LENGTHS)
    for number, frames in enumerate(LENGTHS):
        np.save(folder / f"clip_{number:03}.control.npy", control(frames))
    return build_index(folder, workers=1)


@pytest.mark.parametrize(
    ("control", "config"), [(actions, ControlConfig(discrete=4)), (numbers, ControlConfig(floats=2))]
)
def test_a_latent_frame_gets_the_row_of_its_first_frame(
    model: TokenizerModel, tmp_path: Path, control: Any, config: ControlConfig
) -> None:
    index = with_controls(tmp_path / "videos", control)
    encode(index, tmp_path / "out", model, clips_per_shard=2)
    tokens = TokenSet.open(tmp_path / "out")
    assert tokens.description.control == config
    for row, frames in enumerate(LENGTHS):
        found = tokens.clip(row).control
        assert found is not None
        assert np.array_equal(found.numpy(), control(frames)[[0, *range(1, frames, 4)]])
    encode(index, tmp_path / "slow", model, EncodeSpec(32, 48, fps=4))
    half = TokenSet.open(tmp_path / "slow").clip(2).control
    assert half is not None
    assert np.array_equal(half.numpy(), control(13)[[0, 2, 10]])


def test_codes_do_not_depend_on_controls_and_runs_are_equal(model: TokenizerModel, tmp_path: Path) -> None:
    index = with_controls(tmp_path / "videos")
    encode(index, tmp_path / "one", model, clips_per_shard=1)
    encode(index, tmp_path / "two", model, clips_per_shard=1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    plain = build_index(make_videos(tmp_path / "plain", LENGTHS), workers=1)
    encode(plain, tmp_path / "without", model)
    one, without = TokenSet.open(tmp_path / "one"), TokenSet.open(tmp_path / "without")
    assert without.description.control is None
    assert all(torch.equal(one.clip(row).codes, without.clip(row).codes) for row in range(3))


def test_windows_bring_the_control(model: TokenizerModel, tmp_path: Path) -> None:
    encode(with_controls(tmp_path / "videos", numbers), tmp_path / "out", model)
    tokens = TokenSet.open(tmp_path / "out")
    windows = TokenWindows(tokens, np.arange(3), frames=2, seed=0)
    window = windows.sample(0, 1, start=1)
    place = next(row for row in range(3) if tokens.label(row)[0] == window.key)
    whole = tokens.clip(place)
    assert whole.control is not None
    assert window.control is not None
    assert np.array_equal(window.codes, whole.codes[1:3].numpy())
    assert np.array_equal(window.control, whole.control[1:3].numpy())
    cut = windows.cut(window, number=2, at=1)
    other = tokens.clip(int(windows.rows[2]))
    assert cut.control is not None
    assert other.control is not None
    assert np.array_equal(cut.control, np.stack([window.control[0], other.control[1].numpy()]))
    assert windows.opening(2).start == 0


WRONG = {
    "12 rows; its video has 13": actions(12),
    "int64 [13, 1]": actions(13)[:, None],
    "float64 [13]": numbers(13)[:, 0],
    "<U1 [13]": np.full(13, "a"),
    "bool [13]": np.ones(13, bool),
    "from -1 to 2": actions(13) - 1,
    "not finite": numbers(13) * [[1, np.nan]],
    "1 floats a frame": numbers(13)[:, :1],
}


@pytest.mark.parametrize("fact", WRONG)
def test_a_control_that_does_not_fit_is_refused(model: TokenizerModel, tmp_path: Path, fact: str) -> None:
    index = with_controls(tmp_path / "videos", numbers if "floats" in fact else actions)
    np.save(tmp_path / "videos" / "clip_002.control.npy", WRONG[fact])
    with pytest.raises(DataError) as refusal:
        encode(index, tmp_path / "out", model)
    assert "clip_002.control.npy" in str(refusal.value)
    assert fact in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("raw", [b"", b"no numbers", b"\x93NUMPY\x01\x00"])
def test_a_file_of_something_else_is_refused(model: TokenizerModel, tmp_path: Path, raw: bytes) -> None:
    index = with_controls(tmp_path / "videos")
    (tmp_path / "videos" / "clip_001.control.npy").write_bytes(raw)
    with pytest.raises(DataError, match=r"clip_001\.control\.npy"):
        encode(index, tmp_path / "out", model)


def test_pickles_and_archives_are_refused(model: TokenizerModel, tmp_path: Path) -> None:
    index = with_controls(tmp_path / "videos")
    place = tmp_path / "videos" / "clip_001.control.npy"
    np.save(place, np.array([None] * 9), allow_pickle=True)
    with pytest.raises(DataError, match=r"clip_001\.control\.npy"):
        encode(index, tmp_path / "out", model)
    with place.open("wb") as file:
        np.savez(file, actions(9))
    with pytest.raises(DataError, match=r"clip_001\.control\.npy"):
        encode(index, tmp_path / "out", model)


def test_all_clips_have_a_control_or_none(model: TokenizerModel, tmp_path: Path) -> None:
    index = with_controls(tmp_path / "videos")
    (tmp_path / "videos" / "clip_001.control.npy").unlink()
    with pytest.raises(DataError, match=r"clip_001\.mp4"):
        encode(index, tmp_path / "out", model)


def test_other_controls_do_not_mix(model: TokenizerModel, tmp_path: Path) -> None:
    index = with_controls(tmp_path / "videos")
    encode(index, tmp_path / "out", model)
    np.save(tmp_path / "videos" / "clip_001.control.npy", actions(9)[::-1])
    with pytest.raises(UsageError, match="controls"):
        encode(index, tmp_path / "out", model)


def test_a_prior_of_another_control_is_refused(model: TokenizerModel, tmp_path: Path) -> None:
    encode(with_controls(tmp_path / "videos"), tmp_path / "out", model)
    tokens = TokenSet.open(tmp_path / "out")
    tokens.require_control(ControlConfig(discrete=4))
    tokens.require_control(ControlConfig(discrete=9))
    for other in (None, ControlConfig(discrete=3), ControlConfig(floats=4)):
        with pytest.raises(DataError, match="4 actions"):
            tokens.require_control(other)
