"""Writes frames to files, folders or stdout while they are generated, and reports what was written."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from videogen.cli.param_types import STDOUT
from videogen.cli.terminal import Terminal
from videogen.errors import UsageError
from videogen.system.signals import Interrupted, catch_signals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from videogen.generate import GenerationRequest
    from videogen.generation.stats import GenerationStats
    from videogen.io import OutputFormat, VideoWriter
    from videogen.pipeline import VideoPipeline

FrameBatches: TypeAlias = "Iterator[NDArray[np.uint8]]"  # [B, T, H, W, 3], some frames of each video
STRETCH = 0.02  # a smaller change of the aspect ratio is not reported


@dataclass(frozen=True)
class GenerationRun:
    """Frames that a pipeline generates, and what is reported about them."""

    pipe: "VideoPipeline"
    request: "GenerationRequest"
    batches: FrameBatches
    size: tuple[int, int]  # height and width of a frame
    stats: "GenerationStats"
    total: int | None = None  # frames per video; None: endless
    label: Callable[[], str] = lambda: ""  # the current prompt
    extra: dict[str, Any] = field(default_factory=dict)  # more values for the report
    metadata: Sequence[dict[str, Any]] = ()  # of each video, for its file
    warnings: Sequence[dict[str, Any]] = ()  # for the JSON report; they are printed already


def output_format(options: Mapping[str, Any]) -> "OutputFormat":
    """The format that the options of `format_options` ask for; UsageError for a bad value."""
    from videogen.io import OutputFormat

    try:
        return OutputFormat(options["fps"], options["scale"], options["resampling"])
    except ValueError as error:
        raise UsageError(f"--{error}") from None


def note_stretching(terminal: Terminal, size: tuple[int, int], output: "OutputFormat") -> None:
    """Print a note if --scale changes the aspect ratio; UsageError for a frame that is too large to write."""
    from videogen.io.writer.video_writer import LARGEST

    height, width = output.size(*size)
    if max(height, width) > LARGEST:
        raise UsageError(f"--scale makes frames of {height} x {width}; a side has at most {LARGEST} pixels")
    if abs(height / size[0] / (width / size[1]) - 1) > STRETCH:
        terminal.note(f"frames are stretched: {size[0]} x {size[1]} becomes {height} x {width}")


def output_targets(out: str, videos: int, grid: bool, overwrite: bool, *sources: Path | None) -> list[str]:
    """A target for each video, or one for a grid; UsageError if it exists or is one of the sources."""
    if not out:
        raise UsageError("-o has no name; give a file, a folder, or - for stdout")
    if videos == 1 or grid:
        targets = [out]
    elif out == STDOUT:
        raise UsageError(f"stdout takes one video and not {videos}; --grid puts them side by side")
    else:
        path = Path(out)
        targets = [str(path.with_name(f"{path.stem}_{number:03}{path.suffix}")) for number in range(videos)]
    read = {source.resolve() for source in sources if source is not None}
    for target in targets:
        if target != STDOUT and Path(target).resolve() in read:
            raise UsageError(f"{target}: is the input; write to another place")
        if not overwrite and has_content(target):
            raise UsageError(f"{target}: already exists; --overwrite replaces it")
    return targets


def has_content(target: str) -> bool:
    path = Path(target)
    return target != STDOUT and (any(path.iterdir()) if path.is_dir() else path.exists())


def write_videos(terminal: Terminal, run: GenerationRun, targets: Sequence[str], output: "OutputFormat") -> None:
    """Write each frame as soon as it is generated, until the end or a signal; then print the report.

    After a first signal the current latent frame is finished and the files are closed. A second one stops at once.
    """
    count, videos = 0, len(run.request.seeds)
    note_stretching(terminal, run.size, output)
    opened = open_writers(targets, run.pipe.fps, run.size, videos, output, run.metadata)
    with catch_signals() as asked, terminal.progress("generating", "frames") as progress, opened as writers:
        for frames in run.batches:
            write_frames(writers, frames)
            count += frames.shape[1]
            progress(count, run.total or 0, run.label())
            if asked.number:
                break
    print_report(terminal, targets, report_of(run, targets, count, written_format(writers[0])))
    if asked.number:
        raise Interrupted(f"stopped; {count} frames are written", asked.number)


@contextmanager
def open_writers(
    targets: Sequence[str],
    fps: float,
    size: tuple[int, int],
    videos: int,
    output: "OutputFormat",
    metadata: Sequence[dict[str, Any]],
) -> Iterator[list["VideoWriter"]]:
    """A writer for each video, or one for a grid of all; frames of an earlier video in a folder are removed."""
    from videogen.generation.metadata import metadata_of_grid
    from videogen.io import VideoWriter

    if in_grid := len(targets) < videos:
        metadata = [metadata_of_grid(metadata)] if metadata else ()
    shape = grid_size(size, videos) if in_grid else size
    with ExitStack() as stack:
        writers = []
        for number, target in enumerate(targets):
            own = metadata[number] if metadata else None
            remove_old_frames(target)
            writers.append(stack.enter_context(VideoWriter(target, fps, *shape, output=output, metadata=own)))
        yield writers


def grid_size(size: tuple[int, int], videos: int) -> tuple[int, int]:
    """Height and width of this many videos side by side."""
    import numpy as np

    from videogen.io.contact_sheet import mosaic

    rows, columns = mosaic([np.zeros((1, *size, 3), np.uint8)] * videos, scale=1).shape[1:3]
    return rows, columns


def write_frames(writers: Sequence["VideoWriter"], frames: "NDArray[np.uint8]") -> None:
    from videogen.io.contact_sheet import mosaic

    each = [mosaic(list(frames), scale=1)] if len(writers) < len(frames) else frames
    for writer, one in zip(writers, each, strict=True):
        writer.write(one)


def written_format(writer: "VideoWriter") -> dict[str, Any]:
    """Frame count, size and rate of a file."""
    height, width = writer.size
    return {"frames": writer.written, "height": height, "width": width, "fps": writer.fps}


def remove_old_frames(target: str) -> None:
    """Remove the frames of an earlier video from a folder: it may have been longer."""
    if target != STDOUT and Path(target).is_dir():
        for place in Path(target).glob("frame_[0-9]*.png"):
            place.unlink()


def report_of(run: GenerationRun, targets: Sequence[str], count: int, written: dict[str, Any]) -> dict[str, Any]:
    from videogen.generation.stats import peak_memory_mib

    return {
        **run.stats.report(),
        "files": list(targets),
        "frames": count,  # of each video, without those of the last latent frame that were cut off
        "height": run.size[0],
        "width": run.size[1],
        "fps": run.pipe.fps,
        "written": written,
        "prompts": list(run.request.prompts),
        "seeds": list(run.request.seeds),
        **run.extra,
        "warnings": list(run.warnings),
        "peak_memory_mib": round(peak_memory_mib(run.pipe.model), 1),
        "device": str(run.pipe.device),
    }


def print_report(terminal: Terminal, targets: Sequence[str], report: dict[str, Any]) -> None:
    """Print to stdout, or to stderr if stdout carries frames."""
    with redirect_stdout(sys.stderr if list(targets) == [STDOUT] else sys.stdout):
        terminal.report(report, as_text(report))


def as_text(report: dict[str, Any]) -> str:
    files, seeds, written = report["files"], report["seeds"], report["written"]
    where = files[0] if len(files) == 1 else f"{files[0]} to {files[-1]}"
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    made = {name: report[name] for name in ("frames", "height", "width", "fps")}
    lines = [f"{where}: {format_text(made)}, {seed}"]
    if written != made:
        lines.append(f"  written as {format_text(written)}")
    if report["latent_frames"]:
        lines.append(
            f"  first frame after {report['seconds_to_first_frame']:.2f} s, then "
            f"{report['frames_per_second']:.1f} frames per second; at most {report['peak_memory_mib']:.0f} MiB"
        )
        lines.append(
            f"  a latent frame: {report['prior_ms_per_latent_frame']:.1f} ms of prior in "
            f"{report['proposals_per_latent_frame']:.1f} steps, "
            f"{report['decoder_ms_per_latent_frame']:.1f} ms of decoder"
        )
    return "\n".join(lines)


def format_text(video: dict[str, Any]) -> str:
    return f"{video['frames']} frames of {video['height']} x {video['width']} at {video['fps']:g} fps"
