"""The options that `generate`, `continue` and `stream` share."""

import click

from videogen.cli.options import (
    DEVICE,
    DTYPE,
    FORMAT,
    MODEL,
    OFFLOAD,
    OVERWRITE,
    SAMPLING,
    THREADS,
    Command,
    Decorator,
    add_options,
    renamed_flags,
)
from videogen.cli.param_types import ANY_PATH, POSITIVE, ControlParam, VideoTarget

OPTIONS: tuple[Decorator, ...] = (
    click.option(
        "-o", "--output", "out", type=VideoTarget(), required=True, help="Where to write the video; - is stdout."
    ),
    OVERWRITE,
    MODEL,
    click.option("--frames", type=click.IntRange(1), help="Length in frames [default: as in training]."),
    click.option("--seconds", type=POSITIVE, help="Length in seconds."),
    click.option("--seed", type=click.IntRange(0), help="The same seed gives the same video [default: random]."),
    *SAMPLING,
    click.option("--negative-prompt", help="Text that guidance leads away from."),
    click.option(
        "--history-noise",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of wrong tokens that the prior expects in earlier frames.",
    ),
    *renamed_flags({"rate": "history_noise"}),
    click.option(
        "--control",
        type=ControlParam(),
        help="Controls of the new latent frames, of which the last one holds, as 0,0,1 or rows in an .npy file.",
    ),
    click.option("--height", type=click.IntRange(1), help="Frame height in pixels [default: as in training]."),
    click.option("--width", type=click.IntRange(1), help="Frame width in pixels [default: as in training]."),
    DTYPE,
    THREADS,
    DEVICE,
    OFFLOAD,
    *FORMAT,
)
IMAGE = click.option("--image", type=ANY_PATH, help="An image to start from.")
VIDEO = click.option("--video", type=ANY_PATH, help="A video, or a folder of images, to continue.")


def generation_options(command: Command) -> Command:
    return add_options(command, OPTIONS)
