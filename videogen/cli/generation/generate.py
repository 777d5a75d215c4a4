"""`videogen generate`: videos of prompts, written while they are generated."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.generation.generation_options import IMAGE, VIDEO, generation_options
from videogen.cli.generation.inputs import GenerationInput
from videogen.cli.generation.outputs import output_format, output_targets, write_videos
from videogen.cli.generation.run_generation import check_length, generate_videos, load_setup
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import UsageError


@click.command("generate")
@click.argument("prompts", metavar="PROMPT...", nargs=-1)
@generation_options
@click.option("--num-videos", type=click.IntRange(1), default=1, show_default=True, help="Videos per prompt.")
@click.option("--grid", is_flag=True, help="Write all videos side by side into one file.")
@IMAGE
@VIDEO
@terminal_options
def generate(
    terminal: Terminal,
    prompts: tuple[str, ...],
    out: str,
    num_videos: int,
    grid: bool,
    image: Path | None,
    video: Path | None,
    **options: Any,
) -> None:
    """Generate a video of each PROMPT, or a continuation of --image or --video.

    OUT is a .mp4, .m4v, .mov, .mkv, .webm, .avi or .gif file, a folder for PNGs (a name without a suffix), or - for raw
    RGB on stdout. Several videos are written to OUT_000, OUT_001 and so on, with the seeds SEED, SEED + 1 and so on.
    Frames are written as they are generated, and Ctrl-C leaves a playable file. The file stores how it was made:
    `videogen info OUT`. Settings without a flag are those of the model's generation_config.json.

    \b
    Examples:
      videogen generate "a small red ring drifts left over a dark blue background" -o ring.mp4
      videogen generate "a big red star spins on plain grey" "a small blue ring rises on plain brown" -o two.mp4 --grid
      videogen generate "a dog on the beach" -o dog.webm --model runs/mine --image dog.png --seed 7
      videogen generate "a big red star spins on plain grey" -o star.mov --scale 8 --fps 24
    """
    if not prompts and image is None and video is None:
        raise UsageError("nothing to generate: give a PROMPT, --image or --video")
    targets = output_targets(out, max(1, len(prompts)) * num_videos, grid, options["overwrite"], image, video)
    check_length(options)
    output = output_format(options)
    source = GenerationInput.open(image, video)
    setup = load_setup(terminal, prompts, num_videos, options)
    write_videos(terminal, generate_videos(setup, source), targets, output)
