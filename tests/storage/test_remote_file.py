"""A remote object reads like the file it is a copy of, through breaks, damage and changes."""

import random
from pathlib import Path
from typing import Any

import pytest

from videogen.errors import StorageError
from videogen.storage import ChangedObjectError, MissingObjectError, RemotePath, access, remote_file

CONTENT = random.Random(0).randbytes(10_000)
URL = "memory://bucket/a.bin"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "BLOCK", 700)
    monkeypatch.setattr(access, "SHORTEST", 0.001)


@pytest.fixture
def store(memory: Any) -> Any:
    memory.pipe("/bucket/a.bin", CONTENT)
    return memory


def assert_reads_alike(seed: int) -> None:
    rng = random.Random(seed)
    with RemotePath(URL).open() as file:
        for _ in range(40):
            start, count = rng.randrange(-200, 10_500), rng.randrange(2000)
            file.seek(max(0, start))
            assert file.read(count) == CONTENT[max(0, start) : max(0, start) + count]
        assert file.seek(-7, 2) == len(CONTENT) - 7
        assert file.read() == CONTENT[-7:]


def test_every_range_is_that_of_the_object(store: Any) -> None:
    assert_reads_alike(1)
    assert RemotePath(URL).read_bytes() == CONTENT


def test_broken_connections_and_short_answers_cost_time_alone(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, rng, broken = remote_file.read_range, random.Random(3), []

    def unreliable(url: str, start: int, end: int) -> bytes:
        data = real(url, start, end)
        if rng.random() < 0.5:
            broken.append(start)
            if rng.random() < 0.5:
                raise ConnectionResetError("broken")
            return data[:-1]
        return data

    monkeypatch.setattr(remote_file, "read_range", unreliable)
    assert_reads_alike(2)
    assert len(broken) > 3


def test_a_second_reading_asks_for_nothing_and_damage_is_fetched_again(
    store: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RemotePath(URL, RemotePath(URL).stat())
    fetched = []
    real = remote_file.read_range
    monkeypatch.setattr(remote_file, "read_range", lambda *given: fetched.append(given) or real(*given))
    assert known.read_bytes() == CONTENT
    assert len(fetched) == -(-len(CONTENT) // 700)
    assert known.read_bytes() == CONTENT
    assert len(fetched) == -(-len(CONTENT) // 700)
    for block in list((cache / "blocks").glob("??/*"))[:2]:
        raw = bytearray(block.read_bytes())
        raw[50] ^= 1
        block.write_bytes(raw)
    assert known.read_bytes() == CONTENT
    assert len(fetched) == 2 + -(-len(CONTENT) // 700)


def test_another_object_under_the_name_is_an_error_and_never_cached(store: Any, cache: Path) -> None:
    known = RemotePath(URL, RemotePath(URL).stat())
    store.pipe("/bucket/a.bin", CONTENT[::-1])
    with pytest.raises(ChangedObjectError, match="changed since it was indexed"):
        known.read_bytes()
    assert not list((cache / "blocks").glob("??/*"))
    store.rm("/bucket/a.bin")
    with pytest.raises(MissingObjectError, match="no such object"):
        known.read_bytes()


def test_a_server_that_stays_away_ends_with_one_line(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*given: object) -> bytes:
        raise TimeoutError("no answer")

    monkeypatch.setenv("VIDEOGEN_STORAGE_SECONDS", "0.05")
    monkeypatch.setattr(remote_file, "read_range", away)
    with pytest.raises(StorageError, match=r"does not answer after 0.05 s of tries \(no answer\)") as caught:
        RemotePath(URL).read_bytes()
    assert caught.value.exit_code == 5
