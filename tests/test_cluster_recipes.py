"""Each start file trains in two processes what torchrun does, to the bit; `srun`, `scontrol` and `ssh` are fakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.fake import lines
from tests.training.programs import CHECKOUT, ENVIRONMENT, last_tensors
from videogen.cli import main

RECIPES = CHECKOUT / "recipes" / "cluster"
SMALL = (
    *("training.steps=3", "training.batch_size=4", "training.log_every=1", "training.validate_every=3"),
    *("training.checkpoint_every=2", "training.sample_every=0", "data.validation_clips=2", "data.validation_share=0.3"),
)
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
for node in 0 1; do SLURM_NODEID=$node "$@" & started="${started:-} $!"; done
for process in $started; do wait $process || exit 1; done
"""
SCONTROL = "#!/bin/sh\nprintf 'localhost\\nother\\n'\n"
SSH = '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\nshift\nexec sh -c "$*"\n'


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "set"
    assert main(["data", "playroom", str(folder), "--clips", "24", "--size", "64", "--quiet"]) == 0
    assert main(["data", "index", str(folder), "--workers", "1", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def expected(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that one torchrun with two processes makes."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "--",
        "videogen",
    ]
    start([*launcher, "train", *arguments(clips, folder)], {})
    return folder


def arguments(clips: Path, folder: Path) -> list[str]:
    return ["tokenizer", "playroom_64_line_cpu", f"data.train={clips}", *SMALL, "--run", str(folder)]


def start(command: list[str], settings: dict[str, str]) -> None:
    environment = {**ENVIRONMENT, "PYTHON": sys.executable, "PROCESSES": "1", **settings}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def same_run(one: Path, other: Path) -> bool:
    here, there = last_tensors(one), last_tensors(other)
    equal = here.keys() == there.keys() and all(here[name].equal(there[name]) for name in here)
    return equal and lines(one) == lines(other)


def programs(folder: Path, **texts: str) -> str:
    """A PATH on which these programs come first."""
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.slow
def test_slurm(clips: Path, expected: Path, tmp_path: Path) -> None:
    job = {"SLURM_JOB_NODELIST": "nodes", "SLURM_JOB_ID": "4711", "SLURM_NNODES": "2"}
    path = programs(tmp_path, srun=SRUN, scontrol=SCONTROL)
    command = ["sh", str(RECIPES / "slurm.sbatch"), *arguments(clips, tmp_path / "run")]
    start(command, {**job, "SLURM_SUBMIT_DIR": str(CHECKOUT), "PATH": path})
    assert same_run(tmp_path / "run", expected)


@pytest.mark.slow
def test_ssh(clips: Path, expected: Path, tmp_path: Path) -> None:
    settings = {"HOSTS": "localhost other", "PORT": "29617", "PATH": programs(tmp_path, ssh=SSH)}
    start([str(RECIPES / "ssh.sh"), *arguments(clips, tmp_path / "run")], settings)
    assert same_run(tmp_path / "run", expected)


@pytest.mark.services
def test_ray_train(clips: Path, expected: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    of_ray = ["--address", "local", "--workers", "2", "--cpu", "--storage", str(tmp_path / "ray")]
    given = [*of_ray, "--", *arguments(clips, tmp_path / "run")]
    start([sys.executable, str(RECIPES / "ray_train.py"), *given], {})
    assert same_run(tmp_path / "run", expected)
