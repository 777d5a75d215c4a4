"""Killed at any moment and any number of times, indexing ends with the same bytes."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import videogen
from tests.data.conftest import MakeSet
from videogen.data import build_index

CHECKOUT = Path(videogen.__file__).parents[1]
PROGRAM = """
import sys
from pathlib import Path
from videogen.data import build_index
build_index(Path(sys.argv[1]), out=Path(sys.argv[2]), workers=int(sys.argv[3]))
"""


def start(data: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", PROGRAM, str(data), str(out), str(workers)]
    return subprocess.Popen(arguments, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def lines_in(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def kill_when(process: subprocess.Popen[bytes], journal: Path, lines: int, delay: float) -> bool:
    """Kill -9 a little after the journal has so many lines; False if the process was done before."""
    while lines_in(journal) < lines and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    return process.wait() != 0


def survives(data: Path, folder: Path, clips: int, kills: int, seed: int) -> None:
    calm, out = folder / "calm.jsonl", folder / "killed.jsonl"
    build_index(data, out=calm, workers=2)
    journal = out.with_name(out.name + ".journal")
    chance = random.Random(seed)
    killed = 0
    while killed < kills:
        before = lines_in(journal)
        lines, delay, workers = chance.randint(before, clips + 2), chance.uniform(0, 0.03), chance.choice([1, 2])
        killed += kill_when(start(data, out, workers), journal, lines, delay)
        if out.exists():  # the kill came after the last byte: begin again
            out.unlink()
        else:
            assert lines_in(journal) >= before, "a run never forgets what an earlier one wrote down"
    assert start(data, out, workers=1).wait() == 0
    assert out.read_bytes() == calm.read_bytes()
    assert not journal.exists()


def damaged_set(make_set: MakeSet, folder: Path, clips: int) -> Path:
    data = make_set(folder, clips=clips)
    broken = data / "clip_001.mp4"
    broken.write_bytes(broken.read_bytes()[:-2000])
    return data


def test_three_kills(tmp_path: Path, make_set: MakeSet) -> None:
    survives(damaged_set(make_set, tmp_path / "set", 12), tmp_path, 12, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_twenty_kills(tmp_path: Path, make_set: MakeSet, seed: int) -> None:
    survives(damaged_set(make_set, tmp_path / "set", 40), tmp_path, 40, kills=20, seed=seed)
