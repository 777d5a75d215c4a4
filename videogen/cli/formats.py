"""The options that say how a file shows a video: its rate, the size of its frames, and whether it has metadata."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.kinds import Scale
from videogen.cli.terminal import Terminal
from videogen.errors import UsageError

if TYPE_CHECKING:
    from videogen.io import OutputFormat

FORMAT = (
    click.option("--fps", type=float, help="Frames a second of the file; the speed stays [default: the model's]."),
    click.option("--scale", type=Scale(), help="Enlarge the frames by a factor, such as 8, or to HEIGHTxWIDTH."),
    click.option(
        "--resampling",
        type=click.Choice(("lanczos", "nearest")),
        default="lanczos",
        show_default=True,
        help="How --scale does it: smooth, or exact pixels.",
    ),
    click.option("--no-metadata", is_flag=True, help="Do not write prompt, seed, model and settings into the file."),
)


def format_options(command: Callable[..., None]) -> Callable[..., None]:
    """How the file shows what was made, and whether it says what it was made with."""
    for option in reversed(FORMAT):
        command = option(command)
    return command


def output_format(options: Mapping[str, Any]) -> "OutputFormat":
    """What those options say; UsageError where that makes no sense."""
    from videogen.io import OutputFormat

    try:
        return OutputFormat(options["fps"], options["scale"], options["resampling"])
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def note_stretching(terminal: Terminal, size: tuple[int, int], output: "OutputFormat") -> None:
    """Say that frames lose their shape; UsageError for a size that cannot be written."""
    from videogen.io.writer.video_writer import LARGEST

    height, width = output.size(*size)
    if max(height, width) > LARGEST:
        raise UsageError(f"--scale makes frames of {height} x {width}; a side has at most {LARGEST} pixels")
    if abs(height / size[0] / (width / size[1]) - 1) > 0.02:
        terminal.note(f"frames are stretched: {size[0]} x {size[1]} becomes {height} x {width}")
