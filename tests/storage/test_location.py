"""URLs: what is below a root stays below it, and what is not read is named."""

import pickle
from pathlib import Path, PurePosixPath

import pytest

from videogen.errors import UsageError
from videogen.storage import ObjectStat, RemotePath, location


def test_a_path_stays_a_path_and_a_url_keeps_its_slashes() -> None:
    assert location("clips/a.mp4") == Path("clips/a.mp4")
    assert str(location("S3://bucket/clips/")) == "s3://bucket/clips"


def test_parts_are_those_of_a_path() -> None:
    path = location("s3://bucket/clips/") / "sub/a.mp4"
    assert isinstance(path, RemotePath)
    assert (path.name, path.suffix, str(path.parent)) == ("a.mp4", ".mp4", "s3://bucket/clips/sub")
    assert str(path.with_suffix(".txt")) == "s3://bucket/clips/sub/a.txt"
    assert path.relative_to(RemotePath("s3://bucket")) == PurePosixPath("clips/sub/a.mp4")
    assert not path.is_relative_to(RemotePath("s3://buck"))
    assert str(RemotePath("s3://bucket").parent) == "s3://bucket"


@pytest.mark.parametrize("outside", ["../a.mp4", "/a.mp4", "sub/../../a.mp4"])
def test_nothing_leads_out(outside: str) -> None:
    with pytest.raises(ValueError, match="leads out of s3://bucket/clips"):
        RemotePath("s3://bucket/clips") / outside


def test_what_is_known_travels_to_workers_and_does_not_count_for_equality() -> None:
    pinned = RemotePath("s3://bucket/a.mp4", ObjectStat(3, "v"))
    copy = pickle.loads(pickle.dumps(pinned))
    assert copy == pinned == RemotePath("s3://bucket/a.mp4")
    assert copy.known == pinned.known


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "name the path itself"),
        ("zip://a.mp4::s3://bucket/b.zip", "chained URLs"),
        ("https://me:secret@host/a.tar", "holds a password"),
        ("https://host/a.tar?signature=secret", "with [?] or #"),
        ("s3://", "names no bucket"),
    ],
)
def test_other_urls_are_refused_without_showing_a_secret(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        location(url)
    assert "secret" not in str(caught.value)
