"""The cache of blocks: what comes out is what went in, below a limit, whatever the disk did to it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from videogen.errors import UsageError
from videogen.storage.cache import DIGEST, BlockCache, cache_limit


def key(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def bytes_in(cache: BlockCache) -> int:
    return sum(place.stat().st_size for place in cache.folder.glob("??/*"))


def test_blocks_come_back_and_others_do_not(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "blocks", 10_000)
    cache.put(key(1), b"one")
    assert cache.get(key(1)) == b"one"
    assert cache.get(key(2)) is None


@pytest.mark.parametrize("size", [0, 100, 999])
def test_the_limit_holds_and_the_oldest_go_first(tmp_path: Path, size: int) -> None:
    cache = BlockCache(tmp_path / "blocks", 1000)
    for number in range(60):
        cache.put(key(number), bytes([number]) * size)
        if cache.get(key(number)) is not None:
            os.utime(cache._place(key(number)), (number, number))
        assert bytes_in(cache) <= 1000
    there = [number for number in range(60) if cache.get(key(number)) is not None]
    assert there == list(range(60 - len(there), 60))
    assert bool(there) == (size + DIGEST <= 1000)


def test_a_damaged_block_is_dropped(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "blocks", 10_000)
    for damage in (lambda raw: raw[:-1], lambda raw: raw[:40] + b"x" + raw[41:], lambda raw: b""):
        cache.put(key(1), bytes(100))
        place = cache._place(key(1))
        place.write_bytes(damage(place.read_bytes()))
        assert cache.get(key(1)) is None
        assert not place.exists()


def test_the_limit_holds_over_processes_that_are_killed(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom hashlib import sha256\n"
        "from videogen.storage.cache import BlockCache\n"
        f"cache = BlockCache(Path({str(tmp_path / 'blocks')!r}), 200_000)\n"
        "for number in range(10**6):\n"
        "    cache.put(sha256(f'{sys.argv[1]} {number}'.encode()).hexdigest(), bytes(5000))\n"
        "    if number == 60: print('filled', flush=True)\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(number)], stdout=subprocess.PIPE) for number in range(2)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == b"filled\n"
        process.kill()
        process.communicate()
    cache = BlockCache(tmp_path / "blocks", 200_000)
    assert 100_000 < bytes_in(cache) <= 200_000
    for number in range(60):
        cache.put(key(number), bytes(5000))
        assert bytes_in(cache) <= 200_000


def test_the_limit_holds_over_threads(tmp_path: Path) -> None:
    cache = BlockCache(tmp_path / "blocks", 50_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: cache.put(key(number), bytes(5000)), range(200)))
    assert 20_000 < bytes_in(cache) <= 50_000


def test_a_disk_that_takes_nothing_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = BlockCache(tmp_path / "file", 10_000)
    with pytest.warns(UserWarning, match="a block cannot be kept"):
        cache.put(key(1), b"one")
    assert cache.get(key(1)) is None


def test_the_limit_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_CACHE_BYTES", "20G")
    with pytest.raises(UsageError, match="VIDEOGEN_CACHE_BYTES is '20G'"):
        cache_limit()
