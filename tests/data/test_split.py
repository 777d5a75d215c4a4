"""Which clips are held out for validation, and the error where a share holds out none."""

import random
import re
from pathlib import Path

import pytest

from tests.data.conftest import MakeSet
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, build_index
from videogen.data.split import check_split, describe_held_out, hash_fraction, hold_out, nearest_share
from videogen.errors import DataError

SPEC = ClipSpec(frames=5, height=16, width=16, fps=8)


def test_the_share_that_is_advised_works(tmp_path: Path, make_set: MakeSet) -> None:
    index = build_index(make_set(tmp_path, clips=6), workers=1)
    for share in (1e-9, 1 - 1e-9):
        with pytest.raises(DataError, match="of 6 clips") as caught:
            hold_out(index, share)
        advised = re.search(r"; a share of (\S+) would keep (\d)", str(caught.value))
        assert advised is not None
        train, held = hold_out(index, float(advised[1]))
        assert len(held.good) == int(advised[2])
        assert len(train.good) + len(held.good) == 6


def test_a_share_that_works_is_found_however_close_the_draws_are() -> None:
    chance = random.Random(0)
    for spread in (1.0, 1e-3, 1e-9, 1e-16):
        for _ in range(200):
            first = chance.random() * (1 - spread)
            draws = [first + spread * chance.random() for _ in range(chance.randint(1, 4))]
            for share in (0.0, 1.0):
                better = nearest_share(draws, share)
                assert (better is None) == (len(set(draws)) == 1), "of one clip nothing can be kept"
                if better is not None:
                    check_split(Path("set"), draws, float(f"{better:.17g}"))


@pytest.mark.parametrize("keys", [[], ["only.mp4"]])
def test_where_no_share_works_none_is_advised(keys: list[str]) -> None:
    with pytest.raises(DataError, match=r"data\.validation_share"):
        check_split(Path("set"), [hash_fraction(key) for key in keys], 0.1)


def test_at_most_three_of_the_clips_that_were_kept_are_named() -> None:
    assert describe_held_out(iter("ab"), 2) == "clips kept for validation (a, b)"
    assert describe_held_out(iter("abcde"), 5) == "clips kept for validation (a, b, c and 2 more)"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_how_many_may_be_refused_does_not_depend_on_how_many_are_kept_back(
    tmp_path: Path, make_set: MakeSet, share: float
) -> None:
    data = make_set(tmp_path, clips=9)
    (data / "bad.mp4").symlink_to("nowhere.mp4")
    index = build_index(data, workers=1)
    train = hold_out(index, share)[0] if share else index
    with pytest.raises(DataError, match=r"data\.max_bad_fraction=0\.1$"):
        ClipDataset(train, SPEC, seed=0, max_bad_fraction=0.09)
    assert len(ClipDataset(train, SPEC, seed=0, max_bad_fraction=0.1)) == len(train.good)
