"""Start the process of one training, wait for it, and raise its error as ours; and what ends it without us."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from videogen import errors
from videogen.errors import ResourceError, VideogenError
from videogen.system.signals import Interrupted, StopRequest, catch_signals

CHILD = "videogen.lab.child"
POLL_SECONDS = 0.2
SIGNALED = 128  # an exit code above it: stopped by a signal, after saving
KINDS = {
    kind.exit_code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VideogenError) and kind is not VideogenError
}


def run_child(action: str, folder: Path, threads: int, name: str) -> None:
    """Until it ends. A signal is passed on: the training saves and stops, and Interrupted is raised."""
    command = [sys.executable, "-m", CHILD, action, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with catch_signals() as request:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the runner alone
        )
        try:
            said = wait_for(child, request)
        except BaseException:
            child.kill()
            child.communicate()
            raise
    if request.number:
        raise Interrupted(f"variant '{name}': {last_line(said) or 'stopped'}", request.number)
    if child.returncode:
        raise error_of(child.returncode, said, name)


def wait_for(child: subprocess.Popen[str], request: StopRequest) -> str:
    """What the child printed to stderr."""
    told = False
    while True:
        try:
            return child.communicate(timeout=POLL_SECONDS)[1]
        except subprocess.TimeoutExpired:
            if request.number and not told:
                child.send_signal(request.number)
                told = True


def error_of(code: int, said: str, name: str) -> BaseException:
    """The error of a child in one line that names the variant; one that nobody expected has its whole traceback."""
    what = f"variant '{name}': {last_line(said)}"
    if code in KINDS:
        return KINDS[code](what)
    if code > SIGNALED:
        return Interrupted(what, code - SIGNALED)
    if code < 0:
        killed = f"its process was killed by {signal.Signals(-code).name}; is the memory full? --resume continues"
        return ResourceError(f"variant '{name}': {killed}")
    return RuntimeError(f"{what}\n{said}")


def last_line(said: str) -> str:
    return said.strip().rpartition("\n")[2]


def while_runner_lives(on_progress: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Also stops this process, as a signal would, once its parent is another one."""
    parent = os.getppid()

    def checked(done: int, total: int) -> None:
        nonlocal parent
        on_progress(done, total)
        if parent != (parent := os.getppid()):  # once: a second signal would stop without saving
            os.kill(os.getpid(), signal.SIGTERM)

    return checked
