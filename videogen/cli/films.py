"""Where the pictures of a command go while they are made, and what is said about them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from videogen.cli.formats import note_stretching
from videogen.cli.kinds import FILMS
from videogen.cli.terminal import Terminal
from videogen.errors import UsageError
from videogen.signals import Interrupted, listening

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from videogen.generate import GenerationRequest
    from videogen.io import OutputFormat, VideoWriter
    from videogen.pipeline import VideoPipeline
    from videogen.stats import GenerationStats

Pieces: TypeAlias = "Iterator[NDArray[np.uint8]]"  # [B, T, H, W, 3], some pictures of each video
PIPE = "-"


class Film(click.ParamType):  # type: ignore[type-arg]
    """A place for a video: a file of a known suffix in a folder that is there, a new folder for PNGs, or a pipe."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        out, path = str(value), Path(value)
        if out == PIPE:
            if sys.stdout.isatty():
                self.fail("raw pictures would fill the terminal; send them to a file or a program", param, ctx)
            return out
        if path.suffix and path.suffix.lower() not in FILMS:
            self.fail(f"'{out}' does not end in {', '.join(FILMS)}; a folder for PNGs has no suffix", param, ctx)
        if not path.absolute().parent.is_dir():
            self.fail(f"'{out}' cannot be written: {path.absolute().parent} is no folder", param, ctx)
        if path.exists() and path.is_dir() == bool(path.suffix):
            self.fail(f"'{out}' is {'a folder' if path.suffix else 'no folder'}", param, ctx)
        return out


@dataclass(frozen=True)
class Work:
    """Pictures to be made by a pipeline, and what is to be said about them."""

    pipe: "VideoPipeline"
    job: "GenerationRequest"
    pieces: Pieces
    size: tuple[int, int]  # height and width of a picture
    figures: "GenerationStats"
    total: int | None = None  # pictures of a video; None: without end
    label: Callable[[], str] = lambda: ""  # the prompt of now
    more: dict[str, Any] = field(default_factory=dict)  # figures of the command's own
    metadata: Sequence[dict[str, Any]] = ()  # of each video, for its file
    warnings: Sequence[dict[str, Any]] = ()  # for programs; people have read them already


def targets_of(out: str, videos: int, grid: bool, overwrite: bool, *sources: Path | None) -> list[str]:
    """A place for each video, or one for all; UsageError for one that is taken, or is one of the sources."""
    if not out:
        raise UsageError("-o has no name; give a file, a folder, or - for a pipe")
    if videos == 1 or grid:
        targets = [out]
    elif out == PIPE:
        raise UsageError(f"{videos} videos do not go through one pipe; --grid puts them side by side")
    else:
        path = Path(out)
        targets = [str(path.with_name(f"{path.stem}_{number:03}{path.suffix}")) for number in range(videos)]
    read = {source.resolve() for source in sources if source is not None}
    for target in targets:
        if target != PIPE and Path(target).resolve() in read:
            raise UsageError(f"{target}: is the clip that is read; write somewhere else")
        if not overwrite and is_taken(target):
            raise UsageError(f"{target}: is there already; --overwrite replaces it")
    return targets


def is_taken(target: str) -> bool:
    path = Path(target)
    return target != PIPE and (any(path.iterdir()) if path.is_dir() else path.exists())


def write_out(terminal: Terminal, work: Work, targets: Sequence[str], output: "OutputFormat") -> None:
    """Every picture as soon as it is made, until there are no more or a signal comes; then the figures.

    A signal lets the latent frame be finished, and the files be closed; a second one ends it at once.
    """
    count, videos = 0, len(work.job.seeds)
    note_stretching(terminal, work.size, output)
    opening = opened_writers(targets, work.pipe.fps, work.size, videos, output, work.metadata)
    with listening() as asked, bar(terminal, work.total) as progress, opening as writers:
        for pictures in work.pieces:
            write(writers, pictures)
            count += pictures.shape[1]
            progress(count, work.label())
            if asked.number:
                break
    say(terminal, targets, figures_of(work, targets, count, written_as(writers[0])))
    if asked.number:
        raise Interrupted(f"stopped after {count} pictures, which are written", asked.number)


@contextmanager
def opened_writers(
    targets: Sequence[str],
    fps: float,
    size: tuple[int, int],
    videos: int,
    output: "OutputFormat",
    metadata: Sequence[dict[str, Any]],
) -> Iterator[list["VideoWriter"]]:
    """One for each video, or one for all of them side by side; old pictures of a folder go first."""
    from videogen.io import VideoWriter
    from videogen.metadata import metadata_of_grid

    if on_one_wall := len(targets) < videos:
        metadata = [metadata_of_grid(metadata)] if metadata else ()
    shape = size_of_all(size, videos) if on_one_wall else size
    with ExitStack() as stack:
        writers = []
        for number, target in enumerate(targets):
            facts = metadata[number] if metadata else None
            clear_pictures(target)
            writers.append(stack.enter_context(VideoWriter(target, fps, *shape, output=output, metadata=facts)))
        yield writers


def size_of_all(size: tuple[int, int], videos: int) -> tuple[int, int]:
    """Height and width of so many videos side by side."""
    import numpy as np

    from videogen.io.contact_sheet import mosaic

    rows, columns = mosaic([np.zeros((1, *size, 3), np.uint8)] * videos, scale=1).shape[1:3]
    return rows, columns


def write(writers: Sequence["VideoWriter"], pictures: "NDArray[np.uint8]") -> None:
    from videogen.io.contact_sheet import mosaic

    each = [mosaic(list(pictures), scale=1)] if len(writers) < len(pictures) else pictures
    for writer, one in zip(writers, each, strict=True):
        writer.write(one)


def written_as(writer: "VideoWriter") -> dict[str, Any]:
    """Frames, size and rate of a file."""
    height, width = writer.size
    return {"frames": writer.written, "height": height, "width": width, "fps": writer.fps}


def clear_pictures(target: str) -> None:
    """Where the place is a folder, the pictures of an earlier video go: there may be more of them than of this one."""
    if target != PIPE and Path(target).is_dir():
        for picture in Path(target).glob("frame_[0-9]*.png"):
            picture.unlink()


@contextmanager
def bar(terminal: Terminal, total: int | None) -> Iterator[Callable[[int, str], None]]:
    """Pictures, pictures a second, and the prompt, on stderr; absent where stderr is no terminal."""
    from tqdm import tqdm

    hidden = terminal.quiet or terminal.json or terminal.mute
    with tqdm(total=total, unit=" frames", disable=hidden or None, dynamic_ncols=True) as shown:

        def progress(count: int, prompt: str) -> None:
            shown.set_postfix_str(prompt if len(prompt) <= 48 else prompt[:47] + "…", refresh=False)
            shown.update(count - shown.n)

        yield progress


def figures_of(work: Work, targets: Sequence[str], count: int, written: dict[str, Any]) -> dict[str, Any]:
    from videogen.stats import peak_memory_mib

    return {
        "files": list(targets),
        "pictures": count,
        "height": work.size[0],
        "width": work.size[1],
        "fps": work.pipe.fps,
        "written": written,
        "prompts": list(work.job.prompts),
        "seeds": list(work.job.seeds),
        **work.more,
        "warnings": list(work.warnings),
        **work.figures.report(),
        "peak_memory_mib": round(peak_memory_mib(work.pipe.model), 1),
        "device": str(work.pipe.device),
    }


def say(terminal: Terminal, targets: Sequence[str], figures: dict[str, Any]) -> None:
    """On stdout, or on stderr where stdout carries pictures."""
    with redirect_stdout(sys.stderr if list(targets) == [PIPE] else sys.stdout):
        terminal.report(figures, in_words(figures))


def in_words(figures: dict[str, Any]) -> str:
    files, seeds = figures["files"], figures["seeds"]
    where = files[0] if len(files) == 1 else f"{files[0]} to {files[-1]}"
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    size = f"{figures['height']} x {figures['width']} at {figures['fps']:g} a second"
    lines = [f"{where}: {figures['pictures']} pictures of {size}, {seed}"]
    written = figures["written"]
    made = {"frames": figures["pictures"], **{name: figures[name] for name in ("height", "width", "fps")}}
    if written != made:
        shown = f"{written['height']} x {written['width']} at {written['fps']:g} a second"
        lines.append(f"  written as {written['frames']} frames of {shown}")
    if figures["latent_frames"]:
        lines.append(
            f"  first picture after {figures['seconds_to_first_frame']:.2f} s, then "
            f"{figures['frames_per_second']:.1f} pictures a second; at most {figures['peak_memory_mib']:.0f} MiB"
        )
        lines.append(
            f"  a latent frame: {figures['prior_ms_per_latent_frame']:.1f} ms of prior in "
            f"{figures['proposals_per_latent_frame']:.1f} proposals, "
            f"{figures['decoder_ms_per_latent_frame']:.1f} ms of decoder"
        )
    return "\n".join(lines)
