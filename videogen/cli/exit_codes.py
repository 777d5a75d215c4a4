"""From an exception to one line on stderr and an exit code."""

import errno
import os
import signal
import sys
import traceback
from contextlib import suppress

import click

from videogen.errors import VideogenError, is_out_of_memory

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
OUT_OF_MEMORY = (
    "out of memory; lower training.batch_size or raise training.accumulation, or generate smaller or shorter clips"
)


class Stopped(BaseException):
    """SIGTERM or SIGHUP; like KeyboardInterrupt it closes and saves what is open on its way up."""

    def __init__(self, number: int = signal.SIGTERM):
        super().__init__(number)
        self.exit_code = 128 + number


def print_error(error: BaseException, debug: bool) -> int:
    """Print one line about the error to stderr and return its exit code."""
    if isinstance(error, click.exceptions.Exit | SystemExit):
        return error.exit_code if isinstance(error, click.exceptions.Exit) else int(error.code or 0)
    if isinstance(error, BrokenPipeError):  # the reader of stdout has gone, as in `videogen ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return 2
    if debug:
        traceback.print_exception(error)
    line, code = _line_and_code(error)
    if line:
        with suppress(OSError):  # the terminal has gone
            print(f"videogen: {line}", file=sys.stderr)
    return code


def _line_and_code(error: BaseException) -> tuple[str, int]:
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
    return f"internal error ({kind}); run the command again with --debug and report the traceback", 1


def _usage(error: click.ClickException) -> str:
    command = getattr(getattr(error, "ctx", None), "command_path", "videogen")
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message} (see `{command} --help`)"
