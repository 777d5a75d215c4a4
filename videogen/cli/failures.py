"""From an exception to one line on the terminal and an exit code."""

import errno
import os
import signal
import sys
import traceback
from contextlib import suppress

import click

from videogen.errors import VideogenError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)


SIGNS_OF_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
OUT_OF_MEMORY = (
    "out of memory; lower training.batch_size or raise training.accumulation, or ask for smaller or shorter clips"
)


class Stopped(BaseException):
    """SIGTERM or SIGHUP: unwinds like Ctrl-C does, so that whatever is open is closed and saved."""

    def __init__(self, number: int = signal.SIGTERM):
        super().__init__(number)
        self.exit_code = 128 + number


def explain(error: BaseException, debug: bool) -> int:
    """Print what a person needs to know about `error` to stderr; returns the exit code."""
    if isinstance(error, click.exceptions.Exit | SystemExit):
        return error.exit_code if isinstance(error, click.exceptions.Exit) else int(error.code or 0)
    if isinstance(error, BrokenPipeError):  # the reader of our output has gone, as in `videogen ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return 2
    if debug:
        traceback.print_exception(error)
    line, code = _verdict(error)
    if line:
        with suppress(OSError):  # the terminal has gone
            print(f"videogen: {line}", file=sys.stderr)
    return code


def _verdict(error: BaseException) -> tuple[str, int]:
    if isinstance(error, VideogenError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        return _usage(error), 2
    if isinstance(error, KeyboardInterrupt | click.Abort):  # training adds what it saved, and which signal it was
        return str(error) or "stopped", getattr(error, "exit_code", 130)
    if isinstance(error, Stopped):
        return "stopped", error.exit_code
    if is_out_of_memory(error):
        return OUT_OF_MEMORY, 5
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
        return f"{place}{error.strerror}", 5 if error.errno in NO_SPACE else 3
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"internal error ({kind}); the same command with --debug shows where, please report it", 1


def is_out_of_memory(error: BaseException) -> bool:
    """Python's and NumPy's MemoryError, and what torch raises for a GPU's memory and for a CPU's."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or any(sign in str(error) for sign in SIGNS_OF_NO_MEMORY)
    )


def _usage(error: click.ClickException) -> str:
    command = getattr(getattr(error, "ctx", None), "command_path", "videogen")
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message} (see `{command} --help`)"
