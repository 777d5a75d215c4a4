"""`videogen stream`: an endless video whose prompt can change."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from videogen.cli.generation.generation_options import IMAGE, VIDEO, generation_options
from videogen.cli.generation.inputs import GenerationInput
from videogen.cli.generation.outputs import output_format, output_targets, write_videos
from videogen.cli.generation.run_generation import check_length, load_setup, stream_video
from videogen.cli.param_types import PromptAtType, PromptChange
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import UsageError


@click.command("stream")
@click.argument("prompt", required=False)
@generation_options
@click.option(
    "--prompt-at",
    "changes",
    type=PromptAtType(),
    multiple=True,
    help='A prompt for later, as 5s:"a big blue disc rises on plain grey"; repeatable.',
)
@click.option(
    "--transition",
    type=click.Choice(("recache", "cut")),
    default="recache",
    show_default=True,
    help="At a new prompt, keep the scene or start a new one.",
)
@IMAGE
@VIDEO
@terminal_options
def stream(
    terminal: Terminal,
    prompt: str | None,
    out: str,
    changes: tuple[PromptChange, ...],
    transition: str,
    image: Path | None,
    video: Path | None,
    **options: Any,
) -> None:
    """Generate a video of PROMPT, or a continuation of --image or --video, until Ctrl-C, --frames or --seconds.

    OUT is a file that can be played while it grows, a folder for numbered PNGs, or - for raw RGB on stdout. Memory use
    is constant. --prompt-at takes seconds (5s:) or frames (40:) and applies from the next latent frame on. Ctrl-C exits
    with 130.

    \b
    Examples:
      videogen stream "a big red disc moves right over a brown gradient" -o endless.mp4
      videogen stream "a big red disc rises on plain grey" -o story.mp4 --seconds 10 \\
          --prompt-at 5s:"a big blue disc rises on plain grey"
      videogen stream "a big red disc rises on plain grey" -o - | \\
          ffplay -f rawvideo -pixel_format rgb24 -video_size 64x64 -framerate 8 -
    """
    if prompt is None and image is None and video is None:
        raise UsageError("nothing to generate: give a PROMPT, --image or --video")
    if options["offload"]:
        raise UsageError(
            "--offload is for generate and continue: a stream needs prior and decoder for each latent frame"
        )
    targets = output_targets(out, 1, False, options["overwrite"], image, video)
    check_length(options)
    output = output_format(options)
    source = GenerationInput.open(image, video)
    first = () if prompt is None else (prompt,)
    setup = load_setup(terminal, (*first, *(change.prompt for change in changes)), 1, options)
    setup = replace(setup, prompts=first)
    write_videos(terminal, stream_video(setup, source, changes, transition), targets, output)
