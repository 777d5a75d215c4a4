"""Stopped anywhere and resumed, by one process or several, the folder ends with the same bytes."""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tokens.conftest import LENGTHS, contents
from tests.tokens.programs import start
from videogen.data import Index
from videogen.models import TokenizerModel
from videogen.tokens import TokenSet, description, encode, shards
from videogen.tokens.shard_tasks import LOCKS, claimed

TOTAL = len(LENGTHS)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class EncodingSteps:
    """Dies at step `last`: a step is a clip, a sync or a rename, before it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.last = self.taken = 0
        for module in (shards, description):
            monkeypatch.setattr(module, "sync", self._before(module.sync))
        monkeypatch.setattr(Path, "replace", self._before(Path.replace))

    def step(self, *_: int) -> None:
        self.taken += 1
        if self.taken == self.last:
            raise Killed

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            self.step()
            return function(*arguments)

        return stepped


@pytest.fixture(scope="module")
def calm(index: Index, model: TokenizerModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("calm") / "out"
    encode(index, out, model, clips_per_shard=3)
    return contents(out)


@pytest.fixture(scope="module")
def calm_singles(index: Index, model: TokenizerModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("calm") / "singles"
    encode(index, out, model, clips_per_shard=1)
    return contents(out)


def test_dying_at_every_step_leaves_no_trace(
    index: Index, model: TokenizerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = replace(index, good=index.good[:3])
    encode(index, tmp_path / "calm", model, clips_per_shard=2)
    calm, steps = contents(tmp_path / "calm"), EncodingSteps(monkeypatch)
    for last in itertools.count(1):
        steps.taken, steps.last = 0, last
        out = tmp_path / str(last)
        try:
            encode(index, out, model, clips_per_shard=2, on_progress=steps.step)
        except Killed:
            steps.last = 0
            encode(index, out, model, clips_per_shard=2)
            assert contents(out) == calm
        else:
            break
    assert last > 15


def test_dying_again_and_again(
    index: Index, model: TokenizerModel, tmp_path: Path, calm: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance, steps, deaths = random.Random(1), EncodingSteps(monkeypatch), 0
    while deaths < 30:
        steps.taken, steps.last = 0, chance.randint(1, 12)
        try:
            encode(index, tmp_path / "out", model, clips_per_shard=3, on_progress=steps.step)
            break
        except Killed:
            deaths += 1
    assert deaths > 0
    steps.last = 0
    assert encode(index, tmp_path / "out", model, clips_per_shard=3).encoded <= TOTAL
    assert contents(tmp_path / "out") == calm


def test_what_is_whole_is_not_made_again_and_rubbish_is_no_hindrance(
    index: Index, model: TokenizerModel, tmp_path: Path, calm: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("tokens.json", "shard_00001.safetensors", "shard_00001.json"):
        (out / f".{name}.partial").write_bytes(b"half a fi")
    assert encode(index, out, model, clips_per_shard=3).encoded == TOTAL
    before = {place: place.stat().st_mtime_ns for place in out.iterdir()}
    assert encode(index, out, model, clips_per_shard=3).encoded == 0
    assert {place: place.stat().st_mtime_ns for place in out.iterdir()} == before
    assert contents(out) == calm


@pytest.mark.parametrize("name", ["shard_00001.safetensors", "shard_00001.json"])
def test_a_flipped_byte_is_found_and_made_anew(
    index: Index, model: TokenizerModel, tmp_path: Path, calm: dict[str, bytes], name: str
) -> None:
    out = tmp_path / "out"
    encode(index, out, model, clips_per_shard=3)
    raw = bytearray(calm[name])
    for place in random.Random(2).sample(range(len(raw)), 10):
        flipped = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]
        (out / name).write_bytes(flipped)
        if place > 1:  # white space between the parts of a JSON is no damage
            assert encode(index, out, model, clips_per_shard=3).encoded == 3
        assert contents(out) == calm


def test_a_sigkill(
    videos: Path, index: Index, model: TokenizerModel, tmp_path: Path, calm_singles: dict[str, bytes]
) -> None:
    out, ready, go = (tmp_path / name for name in ("out", "ready", "go"))
    go.touch()
    process = start(videos, model.path, out, ready, go)
    while process.poll() is None and not (out / "shard_00001.json").exists():
        time.sleep(0.002)
    time.sleep(0.03)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    assert not (out / f"shard_{TOTAL - 1:05}.json").exists()
    assert encode(index, out, model, clips_per_shard=1).encoded < TOTAL
    assert contents(out) == calm_singles


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_sigkills_of_two_processes(
    videos: Path, model: TokenizerModel, tmp_path: Path, calm_singles: dict[str, bytes], seed: int
) -> None:
    out, go, chance, kills = tmp_path / "out", tmp_path / "go", random.Random(seed), 0
    go.touch()
    while kills < 10:
        processes = [start(videos, model.path, out, tmp_path / f"{kills}{name}", go) for name in "ab"]
        while not all((tmp_path / f"{kills}{name}").exists() for name in "ab"):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        for process in processes:
            process.kill()
            process.communicate()
            kills += process.returncode == -9
        if (out / f"shard_{TOTAL - 1:05}.json").exists():
            (out / f"shard_{chance.randrange(TOTAL):05}.json").unlink()
    last = start(videos, model.path, out, tmp_path / "last", go)
    last.communicate()
    assert last.returncode == 0
    assert contents(out) == calm_singles


def test_two_processes_share(
    videos: Path, model: TokenizerModel, tmp_path: Path, calm_singles: dict[str, bytes]
) -> None:
    out, go = tmp_path / "out", tmp_path / "go"
    ready = [tmp_path / name for name in ("one", "two")]
    processes = [start(videos, model.path, out, place, go) for place in ready]
    while not all(place.exists() for place in ready) and all(process.poll() is None for process in processes):
        time.sleep(0.005)
    go.touch()
    made = [int(process.communicate()[0]) for process in processes]
    assert sum(made) == TOTAL, "every shard is made once"
    assert contents(out) == calm_singles


@pytest.mark.parametrize("made_there", [True, False])
def test_a_shard_held_elsewhere_is_waited_for_at_the_end(
    index: Index, model: TokenizerModel, tmp_path: Path, calm_singles: dict[str, bytes], made_there: bool
) -> None:
    out, seen = tmp_path / "out", []
    lock = claimed(out / LOCKS / "shard_00002.lock", wait=False)
    (out / LOCKS).mkdir(parents=True)
    assert lock.__enter__()

    def on_progress(done: int, total: int) -> None:
        seen.append(done)
        if done == TOTAL - 1:
            for name in ("shard_00002.safetensors", "shard_00002.json") if made_there else ():
                (out / name).write_bytes(calm_singles[name])
            lock.__exit__(None, None, None)

    assert encode(index, out, model, clips_per_shard=1, on_progress=on_progress).encoded == TOTAL - made_there
    assert seen == list(range(1, TOTAL + 1))
    assert contents(out) == calm_singles


def test_workers_give_the_same_bytes(
    index: Index, model: TokenizerModel, tmp_path: Path, calm: dict[str, bytes]
) -> None:
    seen: list[int] = []
    done = encode(
        index, tmp_path / "out", model, clips_per_shard=3, workers=2, threads=1, on_progress=lambda d, _: seen.append(d)
    )
    assert (done.encoded, seen[-1]) == (TOTAL, TOTAL)
    assert seen == sorted(seen)
    assert contents(tmp_path / "out") == calm
    TokenSet.open(tmp_path / "out", model.fingerprint).verify()
