"""The command `videogen`. Nothing here or in its command modules imports torch before a command needs it."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

import videogen
from videogen.cli.bench import bench
from videogen.cli.codec import compress, decompress
from videogen.cli.config import config
from videogen.cli.convert import convert
from videogen.cli.data import data
from videogen.cli.encode import encode
from videogen.cli.evaluate import evaluate
from videogen.cli.exit_codes import Stopped, print_error
from videogen.cli.export import export
from videogen.cli.generation.caption import caption, rank
from videogen.cli.generation.continue_clip import continue_
from videogen.cli.generation.generate import generate
from videogen.cli.generation.stream import stream
from videogen.cli.lab import lab
from videogen.cli.push import push
from videogen.cli.serve import serve
from videogen.cli.tokenizer_commands import info, reconstruct, selftest
from videogen.cli.train import train
from videogen.system.signals import is_ignored


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(videogen.__version__, prog_name="videogen")
def videogen_command() -> None:
    """Autoregressive video generation, end to end.

    Every command has its own --help with examples. Exit codes: 0 done, 1 internal error, 2 usage or configuration,
    3 data, 4 checkpoint, 5 resources, 6 NaN or infinity, 7 run folder locked, 129, 130 or 143 stopped by a signal.
    """


for command in (
    data, config, generate, continue_, stream, caption, rank, serve, train,
    encode, export, push, convert, reconstruct, compress, decompress, evaluate, lab, bench, selftest, info,
):  # fmt: skip
    videogen_command.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; a user's mistake prints one line and no traceback."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    stops = [number for number in (signal.SIGTERM, signal.SIGHUP) if not is_ignored(number)]
    previous = {number: signal.signal(number, _stop) for number in stops}
    try:
        if "_VIDEOGEN_COMPLETE" in os.environ:  # a shell asks for completions
            videogen_command.main(args=arguments, prog_name="videogen")
        with videogen_command.make_context("videogen", arguments) as context:
            videogen_command.invoke(context)
        sys.stdout.flush()
    except BaseException as error:
        return print_error(error, debug="--debug" in arguments)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)
