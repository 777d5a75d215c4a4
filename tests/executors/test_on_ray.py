"""On a real Ray cluster the same bytes come out as here, also when a worker is killed in the middle."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.executors.conftest import ACTOR, killer
from tests.tokens.conftest import contents, make_model, make_videos
from videogen.data import Index, build_index
from videogen.errors import DataError
from videogen.executors.base import TIMED_OUT, Executor, TaskResult
from videogen.models import TokenizerModel
from videogen.tokens import encode

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_videos(tmp_path_factory.mktemp("videos") / "set")
    (folder / "damaged.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def index(videos: Path) -> Index:
    return build_index(videos, workers=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TokenizerModel:
    return make_model(tmp_path_factory.mktemp("models") / "tokenizer")


def test_tasks_that_die_die_as_they_do_here(ray_executor: Executor) -> None:
    tasks = [[signal.SIGCHLD, signal.SIGSEGV if number == 1 else signal.SIGCHLD] for number in range(4)]
    results = dict(ray_executor.run_each(partial(map, signal.raise_signal), tasks))
    assert results.pop(1) == TaskResult((None,), "signal SIGSEGV")
    assert set(results.values()) == {TaskResult((None, None), None)}
    slow = dict(ray_executor.run_each(partial(map, time.sleep), [[0.0, 3600.0]], lambda task: 2.0))
    assert slow == {0: TaskResult((None,), TIMED_OUT)}


@pytest.mark.parametrize("what", ["worker", "process"])
def test_an_index_is_the_same_whoever_is_killed(
    ray_executor: Executor, videos: Path, index: Index, tmp_path: Path, what: str
) -> None:
    out = tmp_path / "index.jsonl"
    assert build_index(videos, out, executor=ray_executor, on_progress=killer(what)).refused == index.refused
    build_index(videos, tmp_path / "local.jsonl", workers=1)
    assert out.read_bytes() == (tmp_path / "local.jsonl").read_bytes()


@pytest.mark.parametrize("what", ["worker", "process"])
def test_tokens_are_the_same_whoever_is_killed(
    ray_executor: Executor, index: Index, model: TokenizerModel, tmp_path: Path, what: str
) -> None:
    encode(index, tmp_path / "local", model, clips_per_shard=1)
    encode(index, tmp_path / "ray", model, clips_per_shard=1, executor=ray_executor, on_progress=killer(what))
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")


def test_a_path_that_a_node_does_not_see_stops_before_any_work(ray_executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path / 'absent'}: node .* does not see it"):
        ray_executor.check([tmp_path, tmp_path / "absent"], tmp_path)
    ray_executor.check([], tmp_path)
    assert list(tmp_path.iterdir()) == []


def videogen(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command = [sys.executable, "-m", "videogen", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The client address of a cluster that `ray start` made."""
    pytest.importorskip("ray")
    log = tmp_path_factory.mktemp("head") / "log"
    ports = ["--port=26379", "--ray-client-server-port=20001"]
    quiet = ["--include-dashboard=false", "--disable-usage-stats", "--object-store-memory=134217728"]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=2", *ports, *quiet]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("w") as output:
        running = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)
    while "Ray runtime started" not in log.read_text():
        assert running.poll() is None, log.read_text()
        time.sleep(0.2)
    yield "ray://127.0.0.1:20001"
    running.terminate()
    running.wait()


def test_the_commands_on_a_cluster_that_runs(head: str, videos: Path, index: Index, tmp_path: Path) -> None:
    for name, options in {"local": (), "ray": ("--engine", "ray", "--address", head)}.items():
        done = videogen("data", "index", str(videos), "--out", str(tmp_path / name), *options)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "local").read_bytes()


def family(process: int) -> set[int]:
    """A process and all that descend from it."""
    with suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return {process}.union(*(family(int(child)) for child in children))
    return set()


def is_worker(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(ACTOR.encode())
    return False


def test_a_signal_ends_the_cluster_that_the_command_started(
    videos: Path, index: Index, model: TokenizerModel, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    arguments = ["encode", str(videos), str(tmp_path / "out"), "--model", str(model.path), "--engine", "ray"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "videogen", *arguments, "--clips-per-shard", "1"]
    running = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    while not any(map(is_worker, started := family(running.pid))):
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    assert running.communicate()[1] == "videogen: stopped\n"
    assert running.returncode == 130
    while any(Path(f"/proc/{process}").exists() for process in started):
        time.sleep(0.1)
    whole = contents(tmp_path / "out")
    encode(index, tmp_path / "local", model, clips_per_shard=1)
    assert whole.items() <= contents(tmp_path / "local").items()
    encode(index, tmp_path / "out", model, clips_per_shard=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
