"""Reads a pickle or TorchScript archive in a process of its own; what comes back is safetensors, checked like any."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.checkpoint_reader.child import DONE, LONGEST_LINE, NO_MEMORY, NO_SPACE, REFUSED
from videogen.checkpoint_reader.safetensors_file import load_tensors
from videogen.errors import CheckpointError, ResourceError

if TYPE_CHECKING:
    from torch import Tensor

BEGIN = "import sys; sys.path.append(sys.argv[1]); from videogen.checkpoint_reader.child import main; main()"
ROOT = Path(__file__).parents[2]  # the folder that holds the package videogen
WAIT_SECONDS = 3600.0
NOT_STARTED = 1  # an exception of Python, which the process has none of once it reads


def read_archive(descriptor: int, shown: Path) -> "dict[str, Tensor]":
    """The weights of an open file; `shown` is its name in messages."""
    with tempfile.TemporaryDirectory(prefix="videogen-") as folder:
        result = Path(folder) / "weights.safetensors"
        code = _run(descriptor, result)
        if code == DONE:
            return load_tensors(result, shown)
        if code == REFUSED:
            raise CheckpointError(f"{shown}: {_line(result)}")
    if code == NO_SPACE:
        raise ResourceError(
            f"{shown}: no space for its weights in {tempfile.gettempdir()}; set TMPDIR to another folder"
        )
    if code == NO_MEMORY:
        raise CheckpointError(f"{shown}: reading it takes more memory than a checkpoint of its size may need")
    if code == NOT_STARTED:
        raise ResourceError(f"{shown}: the process that reads it could not start; try `{sys.executable} -I -S -c pass`")
    raise CheckpointError(f"{shown}: the process that read it ended by {_ending(code)}; the file is damaged or hostile")


def _run(descriptor: int, result: Path) -> int:
    """The exit code of the process. It inherits the two files and nothing else: no variables, folder or terminal."""
    target = os.open(result, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BEGIN, str(ROOT), str(descriptor), str(target)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor, target),
            env={},
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(target)
    try:
        return process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        return -signal.SIGALRM
    finally:
        process.kill()
        process.wait()


def _line(result: Path) -> str:
    with result.open("rb") as file:
        raw = file.read(LONGEST_LINE)
    return "".join(letter if letter.isprintable() else "?" for letter in raw.decode("ascii", "replace"))


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    named = {signal.SIGXCPU: "its limit of CPU time", signal.SIGALRM: "its limit of an hour"}
    return named.get(-code, f"signal {-code}")  # type: ignore[call-overload, no-any-return]
