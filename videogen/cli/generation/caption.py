"""`videogen caption` and `videogen rank`: what clips show, in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.generation.inputs import GenerationInput
from videogen.cli.options import DEVICE, MODEL, THREADS, model_or_bundled
from videogen.cli.param_types import ANY_PATH, EXISTING_FILE, IMAGE_SUFFIXES
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import DataError, UsageError
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    from videogen.io.images import Frames
    from videogen.pipeline import VideoPipeline


@click.command("caption")
@click.argument("clips", metavar="CLIP...", type=ANY_PATH, nargs=-1, required=True)
@MODEL
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Captions of each clip.")
@click.option(
    "--beams",
    type=click.IntRange(1),
    help="Captions that the beam search keeps; more find likelier ones [default: --count].",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Above 0: random captions; 1 draws them from the model's distribution.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random caption i has seed + i.")
@THREADS
@DEVICE
@terminal_options
def caption(
    terminal: Terminal,
    clips: tuple[Path, ...],
    model: Path | None,
    count: int,
    beams: int | None,
    temperature: float,
    seed: int,
    threads: int | None,
    device: str,
) -> None:
    """Write what each CLIP shows, in one line, as a model that writes captions sees it.

    A CLIP is a video of any length, a folder of images, or an image. A long clip is read once, in the memory of a few
    frames; the caption is of its end, as far as the model attends to it.

    \b
    Examples:
      videogen caption ring.mp4 star.mp4 --model runs/unified
      videogen caption ring.mp4 --model runs/unified --beams 4
      videogen caption ring.mp4 --model runs/unified --count 5 --temperature 1 --seed 7
    """
    from videogen.generation.captioning import CaptionSettings, check_captions, past_of_clip, write_captions

    try:
        settings = CaptionSettings(count, beams, temperature)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    inputs = [open_input(clip) for clip in clips]
    pipe = load_pipeline(model, threads, device)
    check_captions(pipe.model)
    size, seeds = pipe.size(None, None), range(seed, seed + count)
    found: list[dict[str, Any]] = []
    for clip, source in zip(clips, inputs, strict=True):
        source.note_changes(terminal, pipe, size)
        past = past_of_clip(pipe.model, frames_of(source, pipe, size), size)
        written = write_captions(pipe.model, past, settings, seeds)
        found.append({"clip": str(clip), "captions": [each._asdict() for each in written]})
        if not terminal.json:
            terminal.report({}, "\n".join(each.caption for each in written))
    if terminal.json:
        terminal.report({"clips": found}, "")


@click.command("rank")
@click.argument("clip", metavar="CLIP", type=ANY_PATH)
@click.argument("captions", metavar="CAPTIONS", type=EXISTING_FILE)
@MODEL
@click.option(
    "--by",
    type=click.Choice(("caption", "video")),
    help="p(caption | CLIP), or p(CLIP | caption) [default: caption, if the model writes captions].",
)
@THREADS
@DEVICE
@terminal_options
def rank(
    terminal: Terminal, clip: Path, captions: Path, model: Path | None, by: Any, threads: int | None, device: str
) -> None:
    """Order the lines of the file CAPTIONS by how likely they are for CLIP, the most likely first, with their nats.

    Every model with text can tell how likely the tokens of CLIP are under a caption: exactly if it is autoregressive,
    else as a bound, with the same masks for each caption. A model that writes captions tells how likely a caption is.

    \b
    Examples:
      videogen rank ring.mp4 captions.txt
      videogen rank ring.mp4 captions.txt --model runs/unified --by caption
    """
    from videogen.generation.caption_ranking import choose_ranking, rank_captions

    lines = read_captions(captions)
    source = open_input(clip)
    pipe = load_pipeline(model, threads, device)
    by, size = choose_ranking(pipe.model, by), pipe.size(None, None)
    source.note_changes(terminal, pipe, size)
    note_long(terminal, pipe, lines)
    ranked = rank_captions(pipe.model, frames_of(source, pipe, size), size, lines, by)
    values = {"by": by, "captions": [each._asdict() for each in ranked]}
    terminal.report(values, "\n".join(f"{each.nats:10.2f}  {each.caption}" for each in ranked))


def read_captions(path: Path) -> list[str]:
    """The lines of a file that are not blank."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text in UTF-8") from None
    if not any(lines):
        raise UsageError(f"{path}: holds no captions; write one in each line")
    return [line for line in lines if line]


def open_input(clip: Path) -> GenerationInput:
    if clip.suffix.lower() in IMAGE_SUFFIXES:
        return GenerationInput.open(clip, None)
    return GenerationInput.open(None, clip)


def load_pipeline(model: Path | None, threads: int | None, device: str) -> "VideoPipeline":
    from videogen.pipeline import VideoPipeline

    use_threads(threads)
    return VideoPipeline.from_pretrained(model_or_bundled(model), use_device(device))


def frames_of(source: GenerationInput, pipe: "VideoPipeline", size: tuple[int, int]) -> "Iterator[Frames]":
    """All frames of the input."""
    from videogen.io import fit

    if source.scan is None and not source.images:
        assert source.image is not None
        return iter(fit(source.image[None], *size))
    return source.frames(pipe, size)


def note_long(terminal: Terminal, pipe: "VideoPipeline", lines: list[str]) -> None:
    conditioner = pipe.model.conditioner
    assert conditioner is not None
    if (count := conditioner.too_long(lines)) > 0:
        terminal.note(f"{count} captions have more than {conditioner.length} tokens; only their start counts")
