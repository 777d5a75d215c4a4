"""`videogen continue`: a clip and the frames that follow it."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.generation.generation_options import generation_options
from videogen.cli.generation.inputs import GenerationInput
from videogen.cli.generation.outputs import output_format, output_targets, write_videos
from videogen.cli.generation.run_generation import check_length, continue_clip, load_setup
from videogen.cli.param_types import ANY_PATH
from videogen.cli.terminal import Terminal, terminal_options


@click.command("continue")
@click.argument("source", metavar="IN", type=ANY_PATH)
@generation_options
@click.option(
    "--prompt",
    help='What the clip shows and what follows; "" for no text [default: a caption found for the clip].',
)
@click.option("--only-new", is_flag=True, help="Leave the clip itself out of the output.")
@terminal_options
def continue_(terminal: Terminal, source: Path, out: str, prompt: str | None, only_new: bool, **options: Any) -> None:
    """Write the clip IN as the model sees it, followed by new frames.

    IN is a video or a folder of images. OUT has the frame rate and the frame size of the model: the clip is resampled,
    scaled and cropped; images of a folder are taken to have that rate. --frames and --seconds count the new frames.

    Without --prompt, a model that has rules for captions searches the most likely caption of the clip and prints it.
    Without any caption, the objects in the clip may change.

    \b
    Examples:
      videogen continue holiday.mp4 -o longer.mp4 --model runs/play --seconds 4
      videogen continue ring.mp4 -o rest.mp4 --prompt "a small red ring drifts left over plain black" --only-new
    """
    targets = output_targets(out, 1, False, options["overwrite"], source)
    check_length(options)
    output = output_format(options)
    clip = GenerationInput.open(None, source, shown=not only_new)
    setup = load_setup(terminal, () if prompt is None else (prompt,), 1, options)
    write_videos(terminal, continue_clip(setup, clip, only_new), targets, output)
