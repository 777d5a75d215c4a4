"""Start the process of one training, wait for it, and raise its error as ours."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from videogen import errors
from videogen.errors import VideogenError

CHILD = "videogen.lab.child"
KINDS = {
    kind.exit_code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VideogenError) and kind is not VideogenError
}


def run_child(action: str, folder: Path, threads: int, name: str) -> None:
    """Until it ends; on the way out it gets the signal to save and stop."""
    command = [sys.executable, "-m", CHILD, action, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    child = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # in a session of its own, so that Ctrl-C reaches the runner alone
    try:
        _, said = child.communicate()
    except BaseException:
        child.send_signal(signal.SIGTERM)
        child.communicate()
        raise
    if child.returncode:
        raise error_of(child.returncode, said, name)


def error_of(code: int, said: str, name: str) -> Exception:
    """The error of a child in one line that names the variant; one that nobody expected has its whole traceback."""
    lines = said.strip().splitlines()
    last = lines[-1] if lines else f"its process ended with code {code}"
    if code in KINDS:
        return KINDS[code](f"variant '{name}': {last}")
    return RuntimeError(f"variant '{name}': {last}\n{said}")
