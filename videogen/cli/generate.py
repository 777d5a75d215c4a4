"""`videogen generate`, `continue` and `stream`: from a prompt to pictures, written while they are made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from videogen.cli.beginnings import Beginning
from videogen.cli.films import Film, targets_of, write_out
from videogen.cli.formats import format_options
from videogen.cli.kinds import ABOVE_0
from videogen.cli.making import CHANGE, Change, check, continued, made, opened, streamed
from videogen.cli.models import DEVICE, GENERATOR, PLACE
from videogen.cli.options import SAMPLING, Decorator, add_options, renamed_flags
from videogen.cli.terminal import Terminal, reports
from videogen.cli.train import THREADS
from videogen.errors import UsageError

OPTIONS: tuple[Decorator, ...] = (
    click.option("-o", "--output", "out", type=Film(), required=True, help="Where the video goes; - is a pipe."),
    click.option("--overwrite", is_flag=True, help="Replace what is there already."),
    GENERATOR,
    click.option("--frames", type=click.IntRange(1), help="How many pictures to make."),
    click.option("--seconds", type=ABOVE_0, help="The same in seconds."),
    click.option("--seed", type=click.IntRange(0), help="The same seed gives the same video."),
    *SAMPLING,
    click.option("--negative-prompt", help="What guidance leads away from."),
    *renamed_flags({"rate": "history_noise"}),
    click.option(
        "--history-noise",
        type=click.FloatRange(0, 1),
        default=0.0,
        help="Share of wrong tokens that the prior expects in its past [default: 0].",
    ),
    click.option("--height", type=click.IntRange(1), help="Rows of a picture [default: as trained]."),
    click.option("--width", type=click.IntRange(1), help="Columns of a picture [default: as trained]."),
    click.option("--dtype", type=click.Choice(("float32", "bfloat16", "float16")), help="Of the prior."),
    THREADS,
    DEVICE,
)
IMAGE = click.option("--image", type=PLACE, help="A picture that it begins with.")
VIDEO = click.option("--video", type=PLACE, help="A video, or a folder of pictures, that comes before it.")


def generation_options(command: Callable[..., None]) -> Callable[..., None]:
    """What all three commands are told; how is sampled is up to the model's generation_config.json by default."""
    return add_options(format_options(command), OPTIONS)


@click.command("generate")
@click.argument("prompts", metavar="PROMPT...", nargs=-1)
@generation_options
@click.option("--num-videos", type=click.IntRange(1), default=1, show_default=True, help="Videos of each prompt.")
@click.option("--grid", is_flag=True, help="All videos side by side in one.")
@IMAGE
@VIDEO
@reports
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
    """Make a video of each PROMPT, or without any PROMPT of what --image or --video shows.

    OUT is .mp4, .m4v, .mov, .mkv, .webm, .avi, .gif, a folder for PNGs (a name without a suffix), or - for raw RGB. Of
    several videos it becomes OUT_000, OUT_001 and so on, with the seeds SEED, SEED + 1 and so on. It is written while
    it is made: Ctrl-C leaves what there is, playable. What is there already is replaced only with --overwrite. The file
    says what it was made with: `videogen info OUT`.

    \b
    Examples:
      videogen generate "a small red ring drifts left over a dark blue background" -o ring.mp4
      videogen generate "a big red star spins on plain grey" "a small blue ring rises on plain brown" -o two.mp4 --grid
      videogen generate "a dog on the beach" -o dog.webm --model runs/mine --image dog.png --seed 7
      videogen generate "a big red star spins on plain grey" -o star.mov --scale 8 --fps 24
    """
    if not prompts and image is None and video is None:
        raise UsageError("nothing to make: give a PROMPT, or --image or --video to go on from")
    targets = targets_of(out, max(1, len(prompts)) * num_videos, grid, options["overwrite"], image, video)
    output = check(options)
    beginning = Beginning.of(image, video)
    write_out(terminal, made(opened(terminal, prompts, num_videos, options), beginning), targets, output)


@click.command("continue")
@click.argument("source", metavar="IN", type=PLACE)
@generation_options
@click.option(
    "--prompt",
    help='What the clip shows, and what comes next; "" for no text [default: found in the clip, if possible].',
)
@click.option("--only-new", is_flag=True, help="Leave the clip itself out.")
@reports
def continue_(terminal: Terminal, source: Path, out: str, prompt: str | None, only_new: bool, **options: Any) -> None:
    """Write the clip IN as the model sees it, and what comes next.

    OUT has the frame rate and the size that the model was trained on: the clip is resampled, scaled and cropped.
    IN may be a folder of pictures, which are taken to be at that rate. --frames and --seconds are those of what comes
    next.

    Without --prompt the caption is looked for under which the clip is most likely, and named, if the model brings rules
    for captions; without any caption, what is there may turn into something else.

    \b
    Examples:
      videogen continue holiday.mp4 -o longer.mp4 --model runs/play --seconds 4
      videogen continue ring.mp4 -o rest.mp4 --prompt "a small red ring drifts left over plain black" --only-new
    """
    targets = targets_of(out, 1, False, options["overwrite"], source)
    output = check(options)
    beginning = Beginning.of(None, source, shown=not only_new)
    write_out(
        terminal,
        continued(opened(terminal, () if prompt is None else (prompt,), 1, options), beginning, only_new),
        targets,
        output,
    )


@click.command("stream")
@click.argument("prompt", required=False)
@generation_options
@click.option(
    "--prompt-at",
    "changes",
    type=CHANGE,
    multiple=True,
    help='Another prompt later, as 5s:"a big blue disc rises on plain grey".',
)
@click.option(
    "--transition",
    type=click.Choice(("recache", "cut")),
    default="recache",
    show_default=True,
    help="The scene goes on, told otherwise; or another one begins.",
)
@IMAGE
@VIDEO
@reports
def stream(
    terminal: Terminal,
    prompt: str | None,
    out: str,
    changes: tuple[Change, ...],
    transition: str,
    image: Path | None,
    video: Path | None,
    **options: Any,
) -> None:
    """Make a video of PROMPT, or without it of what --image or --video shows, until you stop it with Ctrl-C, or for so
    many --frames or --seconds.

    OUT is a file that can be played while it grows, a folder for numbered PNGs, or - for raw RGB into another program.
    Memory stays the same however long it runs. --prompt-at is repeatable, takes seconds (5s:) or pictures (40:), and
    counts from the next latent frame on. Stopped, it exits with 130.

    \b
    Examples:
      videogen stream "a big red disc moves right over a brown gradient" -o endless.mp4
      videogen stream "a big red disc rises on plain grey" -o story.mp4 --seconds 10 \\
          --prompt-at 5s:"a big blue disc rises on plain grey"
      videogen stream "a big red disc rises on plain grey" -o - | \\
          ffplay -f rawvideo -pixel_format rgb24 -video_size 64x64 -framerate 8 -
    """
    if prompt is None and image is None and video is None:
        raise UsageError("nothing to make: give a PROMPT, or --image or --video to go on from")
    targets = targets_of(out, 1, False, options["overwrite"], image, video)
    output = check(options)
    beginning = Beginning.of(image, video)
    first = () if prompt is None else (prompt,)
    order = opened(terminal, (*first, *(change.prompt for change in changes)), 1, options)
    order = replace(order, prompts=first)
    write_out(terminal, streamed(order, beginning, changes, transition), targets, output)
