"""Commands that write a video with a model's own tokens, and read it: compress, decompress."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from videogen.cli.generation.outputs import note_stretching, output_format, output_targets, remove_old_frames
from videogen.cli.options import DEVICE, OVERWRITE, REQUIRED_MODEL, THREADS, TOKENS, format_options
from videogen.cli.param_types import POSITIVE, STDOUT, SizeType, VideoTarget
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import DataError, UsageError
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from videogen.codec.settings import AnyModel
    from videogen.system.signals import StopRequest

    RawVideo = tuple[Iterator[NDArray[np.uint8]], tuple[int, int], float, int | None]

PIPE = "-"


@click.command("compress")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@OVERWRITE
@REQUIRED_MODEL
@click.option("--prompt", default="", help="What the video shows: the prior is told it, and the file keeps it.")
@click.option(
    "--probabilities",
    type=click.Choice(("prior", "adaptive", "flat")),
    help="What decides the bits of a code [default: prior, adaptive for a model without one].",
)
@click.option("--steps", type=click.IntRange(1), default=8, show_default=True, help="Steps of a latent frame.")
@click.option("--order", help="Order of the tokens: halton, raster or random for a masked prior [default: halton].")
@TOKENS
@click.option("--levels", type=click.IntRange(1), help="Use only so many residual levels of each token [default: all].")
@click.option("--chunk", type=click.IntRange(1, 4096), default=8, show_default=True, help="Latent frames of a chunk.")
@click.option("--scene", type=POSITIVE, help="Begin anew after so many seconds, where a reader can start.")
@click.option("--size", type=SizeType(), help="Scale and crop to this size first [default: crop to whole tokens].")
@click.option("--fps", type=POSITIVE, help="Frames a second of raw frames on stdin.")
@THREADS
@DEVICE
@terminal_options
def compress(
    terminal: Terminal,
    source: str,
    target: str,
    overwrite: bool,
    model: Path,
    threads: int | None,
    device: str,
    size: tuple[int, int] | None,
    fps: float | None,
    tokens: int | None,
    levels: int | None,
    **options: Any,
) -> None:
    """Write the video IN to OUT as tokens of a model, in as few bits as its prior allows.

    What `decompress` gives is the reconstruction of the model's tokenizer, to the bit. Sound is left out. IN is a
    video, or - for raw RGB frames on stdin, with --size and --fps; OUT is a file, or - for stdout. Works at any length
    in the memory of a few frames; what is written is readable at once. Ctrl-C leaves a whole file.

    \b
    Examples:
      videogen compress clip.mp4 clip.vgc --model playroom
      videogen compress clip.mp4 clip.vgc --model playroom --prompt "a small red ring drifts left over plain black"
    """
    from videogen.codec.compress import compress as compress_frames
    from videogen.codec.settings import CodecSettings
    from videogen.models import has_prior
    from videogen.system.signals import Interrupted, catch_signals

    output_targets(target, 1, False, overwrite, None if source == PIPE else Path(source))
    if target == STDOUT and sys.stdout.isatty():
        raise UsageError("OUT is -, and bytes would fill the terminal; send them to a file or a program")
    use_threads(threads)
    whole = tokens is None and levels is None
    options["probabilities"] = options["probabilities"] or ("prior" if has_prior(model) and whole else "adaptive")
    settings = CodecSettings(**options)
    if settings.probabilities == "prior" and not whole:
        raise UsageError("--tokens and --levels need --probabilities adaptive or flat: a prior knows all of them")
    opened = open_model(model, use_device(device), settings.probabilities == "prior", tokens, levels)
    with (
        catch_signals() as asked,
        opened_output(target) as file,
        terminal.progress("compressing", "frames") as progress,
    ):
        video, shape, rate, total = raw_frames(size, fps) if source == PIPE else frames_of(opened, Path(source), size)
        for figures in compress_frames(opened, until(asked, video), shape, rate, settings, file):
            progress(figures.frames, total or 0)
    if figures.frames == 0:
        raise DataError(f"{source}: holds no frames")
    values = {**figures.as_dict(shape[0] * shape[1]), "height": shape[0], "width": shape[1], "fps": rate}
    if target == STDOUT:
        terminal.note(as_table(values))
    else:
        terminal.report(values, f"{as_table(values)}\n{target}")
    if asked.number:
        raise Interrupted(f"stopped; {figures.frames} frames are written", asked.number)


@click.command("decompress")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT", type=VideoTarget())
@OVERWRITE
@REQUIRED_MODEL
@click.option("--start", type=click.FloatRange(0), default=0.0, help="Begin at this second.")
@click.option("--seconds", type=POSITIVE, help="Write so many seconds [default: all].")
@format_options
@THREADS
@DEVICE
@terminal_options
def decompress(
    terminal: Terminal,
    source: str,
    target: str,
    overwrite: bool,
    model: Path,
    start: float,
    seconds: float | None,
    threads: int | None,
    device: str,
    **options: Any,
) -> None:
    """Write the video of IN, a file of `compress`, to OUT, with the model that it was made with.

    IN is a file or - for stdin. OUT is a file or a folder as for `generate`, or - for raw RGB on stdout. Each chunk is
    checked before its frames are written; where the file is damaged, or this machine computes other probabilities than
    the one that wrote it, the command stops with exit code 3, and all frames before that are in OUT.

    \b
    Examples:
      videogen decompress clip.vgc clip.mp4 --model playroom
      videogen compress film.mp4 - --model playroom --scene 2 | videogen decompress - seen.mp4 --model playroom
    """
    from videogen.codec.container import ChunkReader
    from videogen.codec.decompress import Decompressor
    from videogen.codec.settings import fitting
    from videogen.io import VideoWriter
    from videogen.system.signals import Interrupted, catch_signals

    output_targets(target, 1, False, overwrite, None if source == PIPE else Path(source))
    output = output_format(options)
    use_threads(threads)
    written, rows = 0, {}
    with ExitStack() as stack:
        file = sys.stdin.buffer if source == PIPE else stack.enter_context(Path(source).open("rb"))
        reader = ChunkReader(file, "stdin" if source == PIPE else source)
        header = reader.header
        opened = fitting(open_model(model, use_device(device), header.probabilities == "prior"), header)
        video = Decompressor(opened, reader)
        note_stretching(terminal, (header.height, header.width), output)
        first = round(start * header.fps)
        most = None if seconds is None else max(1, round(seconds * header.fps))
        total = frames_to_write(source, first, most)
        asked, writer = stack.enter_context(catch_signals()), None
        progress = stack.enter_context(terminal.progress("decompressing", "frames"))
        try:
            for frames in video.frames(first):
                if writer is None:
                    remove_old_frames(target)
                    facts = None if options["no_metadata"] else video.metadata()
                    shape = header.fps, header.height, header.width
                    writer = stack.enter_context(VideoWriter(target, *shape, output=output, metadata=facts))
                writer.write(frames[: None if most is None else most - written].numpy())
                written = min(written + len(frames), most or written + len(frames))
                progress(written, total)
                if asked.number or written == most:
                    break
        except DataError as error:
            raise DataError(f"{error}; {said(written)}") from None
        rows = {**video.figures.as_dict(header.height * header.width), "frames": written}
    if asked.number:
        raise Interrupted(f"stopped; {written} frames are written", asked.number)
    if written == 0:
        raise DataError(f"{source}: has no frame at second {start:g}")
    speed = f"{rows['latent_frames_per_second']:.2f} latent frames a second"
    text = f"{written} frames of {header.height} x {header.width} at {header.fps:.4g} a second, {speed}"
    if target == STDOUT:
        terminal.note(text)
    else:
        terminal.report(rows, f"{text}\n{target}")


def said(written: int) -> str:
    return "no frame could be read" if written == 0 else f"the {written} frames before that are written"


def open_model(
    model: Path, device: str, with_prior: bool, tokens: int | None = None, levels: int | None = None
) -> "AnyModel":
    from videogen.models import has_prior, load_prior, load_tokenizer

    if with_prior and has_prior(model):
        return load_prior(model, device)
    return load_tokenizer(model, device, tokens, levels)


@contextmanager
def opened_output(target: str) -> Iterator[BinaryIO]:
    if target == STDOUT:
        yield sys.stdout.buffer
        return
    with Path(target).open("wb") as file:
        yield file


def frames_of(model: "AnyModel", source: Path, size: tuple[int, int] | None) -> "RawVideo":
    """The frames of a video file, their size and rate, and how many there are."""
    from videogen.codec.settings import tokenizer_of
    from videogen.evaluation.tokenizer.video import check_size, crop_to_tokens, cropped_frames, resized_frames
    from videogen.io import scan

    seen, network = scan(source), tokenizer_of(model).network
    shape = size or crop_to_tokens(network, seen.height, seen.width, source)
    check_size(network, *shape)
    return (resized_frames if size else cropped_frames)(source, *shape), shape, seen.fps or 1.0, len(seen.pts)


def raw_frames(size: tuple[int, int] | None, fps: float | None) -> "RawVideo":
    """Raw RGB frames on stdin; an incomplete last one is an error."""
    import numpy as np

    if size is None or fps is None:
        raise UsageError("raw frames on stdin need --size HEIGHTxWIDTH and --fps")
    count = 3 * size[0] * size[1]

    def frames() -> "Iterator[NDArray[np.uint8]]":
        while data := sys.stdin.buffer.read(count):
            if len(data) < count:
                raise DataError(f"stdin ends inside a frame: {len(data)} of {count} bytes")
            yield np.frombuffer(data, np.uint8).reshape(*size, 3)

    return frames(), size, fps, None


def until(asked: "StopRequest", video: "Iterator[NDArray[np.uint8]]") -> "Iterator[NDArray[np.uint8]]":
    """The frames until a signal asks to stop."""
    for frame in video:
        if asked.number:
            return
        yield frame


def as_table(values: dict[str, Any]) -> str:
    """A table for people."""
    seconds = values["seconds"]
    whole = max(1e-9, sum(seconds.values()))
    payload = f"{values['payload_bits_per_pixel']:.5f} of codes alone"
    rows = [
        ("frames", f"{values['frames']:,} of {values['height']} x {values['width']}, {values['scenes']} scenes"),
        ("bytes", f"{values['bytes']:,}, {8 * values['bytes'] * values['fps'] / values['frames'] / 1000:.2f} kbit/s"),
        ("bits per pixel", f"{values['bits_per_pixel']:.5f}, {payload} (raw video: 24)"),
        ("speed", f"{values['latent_frames_per_second']:.2f} latent frames a second"),
        ("time", ", ".join(f"{name} {100 * spent / whole:.1f} %" for name, spent in seconds.items())),
    ]
    return "\n".join(f"{name:<16}{value}" for name, value in rows)


def frames_to_write(source: str, first: int, most: int | None) -> int:
    """From frame `first` on, as far as the file is whole; 0 if that is unknown, of a pipe."""
    from videogen.evaluation.info.compressed import frames_in

    if source == PIPE or not Path(source).is_file():
        return most or 0
    there = max(0, frames_in(Path(source)) - first)
    return there if most is None else min(most, there)
