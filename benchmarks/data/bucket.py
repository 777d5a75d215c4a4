"""Clips a second from an S3 server on this machine: a first pass, a pass from the cache, and from the local folder.

The set is both a folder of clips and one shard. Needs the extra `services`, which has the server.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, build_index
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.storage import Location, location
from videogen.system.hardware import describe

SERVER = Path(sys.executable).with_name("rclone")
SPEC = ClipSpec(height=64, width=64, fps=8, frames=17)
SECRET = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret-secret"}


@contextmanager
def s3_server(folder: Path) -> Iterator[None]:
    """Serves the folders in `folder` as buckets, and tells s3fs where."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    command = [str(SERVER), "serve", "s3", "--auth-key", ",".join(SECRET.values()), str(folder), "--addr", address]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        os.environ.update(SECRET, AWS_ENDPOINT_URL=f"http://{address}")
        time.sleep(2)
        try:
            yield
        finally:
            process.terminate()


def make_sets(folder: Path, clips: int) -> None:
    write_playroom(folder / "toys", PlayroomConfig(clips=clips, seed=1))
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "toys.tar", "w") as archive:
        for place in sorted((folder / "toys").glob("clip_*")):
            archive.add(place, place.name)


def clips_per_second(data: Location, cache: Path, passes: int) -> list[float]:
    """Of each pass over the set, the first of which begins with an empty cache."""
    cache.mkdir(exist_ok=True)
    os.environ["VIDEOGEN_CACHE"] = str(cache / "indexing")
    index = build_index(data, cache / f"{data.name}.index.jsonl", workers=1)
    os.environ["VIDEOGEN_CACHE"] = str(cache / "reading" / data.name)
    dataset, rates = ClipDataset(index, SPEC, seed=1), []
    for epoch in range(passes):
        began = time.perf_counter()
        for number in range(len(dataset)):
            dataset.sample(epoch, number)
        rates.append(len(dataset) / (time.perf_counter() - began))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not SERVER.is_file() or find_spec("s3fs") is None:
        print("skipped: needs pip install -e '.[services]'")
        return
    figures: dict[str, Any] = {"hardware": describe(), "clips": arguments.clips, "cases": {}}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_sets(place / "served" / "sets", arguments.clips)
        with s3_server(place / "served"):
            for form in ("toys", "shards/toys.tar"):
                first, cached = clips_per_second(location(f"s3://sets/{form}"), place / "remote", 2)
                local = clips_per_second(place / "served" / "sets" / form, place / "local", 2)[1]
                figures["cases"][form] = {"first": first, "cached": cached, "local": local}
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    print(f"{figures['hardware']}\n{arguments.clips} clips of 17 frames, 64 x 64; clips a second")
    for form, case in figures["cases"].items():
        print(f"  {form:16} first pass {case['first']:.0f}, cached {case['cached']:.0f}, local {case['local']:.0f}")


if __name__ == "__main__":
    main()
