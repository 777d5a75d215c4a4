"""Runs on sets in a real S3 bucket are those on the local folder, to the bit, through broken connections and kills."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.s3 import BreakingProxy, s3_server
from tests.training import tiny
from tests.training.programs import CHECKOUT, ENVIRONMENT, same_bits, whole_lines
from tests.training.test_resume import EnoughError
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, build_index, check_files, load_index
from videogen.data.index.index_file import read_index
from videogen.errors import DataError
from videogen.storage import access, location
from videogen.training.loop.mirror_fetch import fetch_missing_run
from videogen.training.tokenizer.run import run_tokenizer

s3fs = pytest.importorskip("s3fs")
pytestmark = [pytest.mark.services, pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")]
SPEC = ClipSpec(height=16, width=16, fps=8, frames=5)
TOYS = location("s3://sets/toys")


def enough(done: int, total: int) -> None:
    """Stops a run right after step 5, which no checkpoint holds."""
    if done == 5:
        raise EnoughError


@pytest.fixture
def buckets(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that is served: a bucket `sets` with the toys, and an empty bucket `runs`."""
    shutil.copytree(data, tmp_path / "served" / "sets" / "toys", ignore=shutil.ignore_patterns("videogen-*"))
    (tmp_path / "served" / "runs").mkdir()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-secret")
    monkeypatch.setenv("VIDEOGEN_CACHE", str(tmp_path / "cache"))
    with s3_server(tmp_path / "served") as port:
        use(port, monkeypatch)
        yield tmp_path / "served"


def use(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    tiny.train(data, folder)
    return folder


def port_of(monkeypatch: pytest.MonkeyPatch) -> int:

    return int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])


def test_the_index_says_what_that_of_the_folder_says(
    buckets: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = build_index(TOYS, workers=1), load_index(data)
    assert [clip.scan for clip in there.good] == [clip.scan for clip in here.good]
    assert [entry.caption for entry in there.entries] == [entry.caption for entry in here.entries]
    assert [record.place for record in there.files] == [record.place for record in here.files]
    assert ClipDataset(there, SPEC, 1).fingerprint == ClipDataset(here, SPEC, 1).fingerprint
    assert load_index(TOYS) == there
    assert check_files(there, full=True) == []
    read_index(there.path, TOYS)


def test_a_shard_is_read_by_ranges(buckets: Path, data: Path) -> None:
    shard = buckets / "sets" / "shards" / "toys.tar"
    shard.parent.mkdir()
    with tarfile.open(shard, "w") as archive:
        for place in sorted(data.glob("clip_*")):
            archive.add(place, place.name)
    here, there = build_index(shard, workers=1), build_index(location("s3://sets/shards/toys.tar"), workers=1)
    one, other = ClipDataset(here, SPEC, 1), ClipDataset(there, SPEC, 1)
    assert one.fingerprint == other.fingerprint
    for number in range(len(one)):
        assert (one.sample(0, number).clip == other.sample(0, number).clip).all()


def test_twenty_broken_connections_change_no_bit(
    buckets: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "REQUEST_SECONDS", 10.0)
    monkeypatch.setenv("VIDEOGEN_CACHE_BYTES", "0")  # every read asks the server
    build_index(TOYS, workers=1)
    proxy = BreakingProxy(port_of(monkeypatch), breaks=20, hangs=2)
    use(proxy.port, monkeypatch)
    tiny.train(TOYS, tmp_path / "run")
    proxy.close()
    assert proxy.broken == 20
    assert same_bits(unbroken, tmp_path / "run")


def test_killed_and_resumed_with_a_small_cache(
    buckets: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOGEN_CACHE_BYTES", "20000")
    build_index(TOYS, workers=1)

    command = [sys.executable, "-m", "tests.training.tiny", "s3://sets/toys", str(tmp_path / "run")]
    variables = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "VIDEOGEN_"))}
    with subprocess.Popen(command, cwd=CHECKOUT, env={**ENVIRONMENT, **variables}) as process:
        while whole_lines(tmp_path / "run") < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    tiny.train(TOYS, tmp_path / "run", resume=True)
    assert same_bits(unbroken, tmp_path / "run")
    blocks = list((tmp_path / "cache" / "blocks").glob("??/*"))
    assert sum(block.stat().st_size for block in blocks) <= 20_000


def test_a_mirrored_run_goes_on_from_the_bucket_alone(
    buckets: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(TOYS, workers=1)
    mirror = location("s3://runs")
    monkeypatch.setattr(access, "REQUEST_SECONDS", 5.0)
    proxy = BreakingProxy(port_of(monkeypatch), breaks=10)
    use(proxy.port, monkeypatch)
    with pytest.raises(EnoughError):
        run_tokenizer(tiny.tiny_config(TOYS, mirror=mirror), tmp_path / "run", False, on_progress=enough)
    shutil.rmtree(tmp_path / "run")
    assert fetch_missing_run(mirror, tmp_path / "run", lambda note: None)
    tiny.train(TOYS, tmp_path / "run", resume=True, mirror=mirror)
    proxy.close()
    assert proxy.broken == 10
    assert same_bits(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    assert fetch_missing_run(mirror, tmp_path / "run", lambda note: None)
    assert same_bits(unbroken, tmp_path / "run")


def test_an_object_that_changed_ends_a_run_with_one_line(buckets: Path, tmp_path: Path) -> None:
    index = build_index(TOYS, workers=1)
    shutil.rmtree(tmp_path / "cache" / "blocks")
    files = s3fs.S3FileSystem()
    for place in (buckets / "sets" / "toys").glob("*.mp4"):
        files.pipe(f"sets/toys/{place.name}", place.read_bytes() + b"free" + bytes(4))
    with pytest.raises(DataError, match="12 of 12 videos are not as they were indexed"):
        tiny.train(TOYS, tmp_path / "run")
    with pytest.raises(DataError, match="not the object that was indexed"):
        ClipDataset(index, SPEC, 1).sample(0, 0)
