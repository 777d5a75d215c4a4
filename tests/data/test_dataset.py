"""A sample is a function of (seed, epoch, index), and equals the frames of the file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import MakeClip, MakeSet
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, Sample, build_index
from videogen.errors import DataError
from videogen.io import VideoError, read

SPEC = ClipSpec(frames=5, height=64, width=96, fps=8)


def samples(dataset: ClipDataset, epochs: int = 2) -> list[Sample]:
    return [dataset.sample(epoch, index) for epoch in range(epochs) for index in range(len(dataset))]


def same(left: list[Sample], right: list[Sample]) -> bool:
    """The same keys, captions and pixels in the same order."""
    pairs = zip(left, right, strict=True)
    return all((a.key, a.caption) == (b.key, b.caption) and np.array_equal(a.clip, b.clip) for a, b in pairs)


def damage(how: str, raw: bytes) -> bytes:
    third = len(raw) // 3
    noise = np.random.default_rng(0).bytes(third)
    return {
        "cut": raw[: 2 * third],
        "zeros": raw[:third] + bytes(third) + raw[2 * third :],
        "noise": raw[:third] + noise + raw[2 * third :],
    }[how]


@pytest.mark.parametrize("how", ["cut", "zeros", "noise"])
def test_five_percent_damage_changes_nothing(tmp_path: Path, make_set: MakeSet, how: str) -> None:
    good = make_set(tmp_path / "good", clips=19)
    mixed = shutil.copytree(good, tmp_path / "mixed")
    (mixed / "clip_007_copy.mp4").write_bytes(damage(how, (good / "clip_007.mp4").read_bytes()))
    (mixed / "clip_007_copy.txt").write_text("never seen")
    alone = ClipDataset(build_index(good), SPEC, seed=3)
    among = ClipDataset(build_index(mixed), SPEC, seed=3)
    assert [refused.key for refused in among.refused] == ["clip_007_copy.mp4"]
    assert same(samples(alone), samples(among))
    assert alone.fingerprint == among.fingerprint


def test_a_sample_is_successive_frames_of_the_file(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "set/a.mp4", frames=8, caption="an a")
    dataset = ClipDataset(build_index(tmp_path / "set", workers=1), SPEC, seed=0)
    truth = read(path, range(8))
    seen = set()
    for epoch in range(40):
        sample = dataset.sample(epoch, 0)
        assert (sample.key, sample.caption) == ("a.mp4", "an a")
        assert sample.clip.shape == (5, 64, 96, 3)
        starts = [first for first in range(4) if np.array_equal(sample.clip, truth[first : first + 5])]
        assert len(starts) == 1
        seen.add(starts[0])
    assert seen == {0, 1, 2, 3}


def test_windows_and_rates_are_kept(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=32, fps=16)
    manifest = tmp_path / "clips.csv"
    manifest.write_text("path,caption,start,end\na.mp4,first,,1\na.mp4,second,1,\na.mp4,brief,0.5,0.9\n")
    dataset = ClipDataset(build_index(manifest, workers=1), SPEC, seed=0)
    assert dataset.short == ("a.mp4@0.5-0.9",)
    truth = read(path, range(32))
    allowed = {"first": range(0, 8), "second": range(16, 24)}
    for sample in samples(dataset, epochs=12):
        assert any(np.array_equal(sample.clip, truth[first : first + 10 : 2]) for first in allowed[sample.caption])


def test_flipping_mirrors_half_of_the_same_samples(tmp_path: Path, make_set: MakeSet) -> None:
    index = build_index(make_set(tmp_path, clips=4))
    plain = samples(ClipDataset(index, SPEC, seed=0), epochs=6)
    flipped = samples(ClipDataset(index, SPEC, seed=0, flip=True), epochs=6)
    mirrored = 0
    for a, b in zip(plain, flipped, strict=True):
        mirror = not np.array_equal(a.clip, b.clip)
        mirrored += mirror
        assert np.array_equal(a.clip[:, :, ::-1] if mirror else a.clip, b.clip)
    assert 4 <= mirrored <= 20


def test_seeds_and_epochs_have_orders_of_their_own(tmp_path: Path, make_set: MakeSet) -> None:
    index = build_index(make_set(tmp_path, clips=6))
    orders = set()
    for seed in (0, 1):
        for epoch in (0, 1):
            dataset = ClipDataset(index, SPEC, seed)
            keys = tuple(dataset.sample(epoch, place).key for place in range(6))
            assert sorted(keys) == [clip.entry.key for clip in index.good]
            orders.add(keys)
    assert len(orders) == 4


def test_a_file_that_changed_is_noticed(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "set/a.mp4", seed=0)
    other = make_clip(tmp_path / "other.mp4", seed=1)
    dataset = ClipDataset(build_index(tmp_path / "set", workers=1), SPEC, seed=0)
    raw, times = path.read_bytes(), path.stat()

    def outcome() -> str:
        with pytest.raises(VideoError) as caught:
            dataset.sample(0, 0)
        assert caught.value.exit_code == 3
        return caught.value.kind

    path.write_bytes(raw + b"\0")
    assert outcome() == "changed"
    path.write_bytes(raw)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000))
    assert outcome() == "changed"
    path.unlink()
    assert outcome() == "missing"
    size = len(raw)  # the worst case: other frames under the same size and time
    path.write_bytes(other.read_bytes()[:size].ljust(size, b"\0"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert outcome()
    path.write_bytes(raw)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    dataset.sample(0, 0)


def test_captions_are_not_part_of_the_fingerprint(tmp_path: Path, make_set: MakeSet, make_clip: MakeClip) -> None:
    data = make_set(tmp_path, clips=2)
    before = ClipDataset(build_index(data, workers=1), SPEC, seed=0).fingerprint
    (data / "clip_000.txt").write_text("quite other words")
    index = build_index(data, workers=1)
    assert index.good[0].entry.caption == "quite other words"
    assert ClipDataset(index, SPEC, seed=0).fingerprint == before
    make_clip(data / "clip_000.mp4", seed=9)
    assert ClipDataset(build_index(data, workers=1), SPEC, seed=0).fingerprint != before


def test_too_much_damage_stops_with_the_kinds_and_what_to_do(tmp_path: Path, make_set: MakeSet) -> None:
    data = make_set(tmp_path, clips=9)
    (data / "bad.mp4").symlink_to("nowhere.mp4")
    index = build_index(data)
    assert len(ClipDataset(index, SPEC, seed=0, max_bad_fraction=0.1)) == 9
    with pytest.raises(DataError) as caught:
        ClipDataset(index, SPEC, seed=0)
    assert caught.value.exit_code == 3
    for words in ("1 of 10", "missing 1", "5.0%", f"videogen data check {data}"):
        assert words in str(caught.value)


def test_short_clips_are_listed_and_not_padded(tmp_path: Path, make_set: MakeSet, make_clip: MakeClip) -> None:
    data = make_set(tmp_path, clips=3)
    make_clip(data / "brief.mp4", frames=4)
    index = build_index(data)
    dataset = ClipDataset(index, SPEC, seed=0)
    assert dataset.short == ("brief.mp4",)
    assert len(dataset) == 3
    with pytest.raises(DataError, match="99 frames"):
        ClipDataset(index, ClipSpec(32, 32, 8, 99), seed=0)


def test_wrong_arguments_are_named(tmp_path: Path, make_set: MakeSet) -> None:
    for arguments in ((32, 32, 8, 0), (0, 32, 8, 5), (32, -1, 8, 5), (32, 32, 0, 5), (32, 32, float("nan"), 5)):
        with pytest.raises(ValueError, match=r"^(frames|height|width|fps) is "):
            ClipSpec(*arguments)
    index = build_index(make_set(tmp_path, clips=1))
    with pytest.raises(ValueError, match="seed is -1"):
        ClipDataset(index, SPEC, seed=-1)
    with pytest.raises(IndexError, match="sample 1 of 1"):
        ClipDataset(index, SPEC, seed=0).sample(0, 1)
