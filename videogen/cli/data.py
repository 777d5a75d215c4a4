"""`videogen data`: indexes and checks training sets, and makes synthetic ones."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.engine_options import engine_options, workers_option
from videogen.cli.options import DEVICE, DTYPE, INDEX, REQUIRED_MODEL, THREADS, sampling_given, sampling_options
from videogen.cli.param_types import ANY_PATH, DATA, IMAGE_FILE, OUTPUT_FOLDER, VIDEO_FILE, refuse_overwrite
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import DataError
from videogen.executors.chosen import EngineName, open_executor
from videogen.storage import Location
from videogen.system.threads import cores


@click.group()
def data() -> None:
    """Create, index and check training sets."""


@data.command("index")
@click.argument("source", metavar="DATA", type=DATA)
@click.option(
    "--out", type=ANY_PATH, help="Where to write the index [default: beside the data; of a URL, in the cache]."
)
@workers_option("one per core")
@engine_options
@terminal_options
def index(
    terminal: Terminal, source: Location, out: Path | None, workers: int | None, engine: EngineName, address: str | None
) -> None:
    """Decode every video of DATA once and record what is in it, or why it is refused.

    DATA is a folder of videos with captions beside them (clip.mp4, clip.txt), a Hugging Face videofolder
    (metadata.jsonl or .csv with file_name and text), a manifest (.csv or .jsonl with path, caption, and optionally
    start and end in seconds), or WebDataset shards (.tar or .tar.gz, or a folder of them). It may be a URL, such as
    s3://bucket/clips, gs://, hf://datasets/OWNER/NAME or https://host/clips.tar: what is read is kept in a cache.
    Unchanged files are not read again, and an interrupted run continues where it stopped.

    \b
    Examples:
      videogen data index ~/videos
      videogen data index clips.csv --out clips.index.jsonl
      videogen data index ~/videos --engine ray --address ray://head:10001
      videogen data index s3://bucket/clips
    """
    from videogen.data import build_index, describe, summarize

    with (
        open_executor(engine, address, workers, usual=cores()) as executor,
        terminal.progress("indexing", "files") as on_progress,
    ):
        built = build_index(source, out=out, on_progress=on_progress, executor=executor)
    summary = summarize(built)
    terminal.report(summary, describe(summary))
    refuse_empty(source, summary)


@data.command("check")
@click.argument("source", metavar="DATA", type=DATA)
@INDEX
@click.option("--sheet", type=IMAGE_FILE, help="Draw some clips with their captions into this image.")
@click.option("--overwrite", is_flag=True, help="Replace an existing image.")
@click.option("--clips", type=click.IntRange(1, 200), default=12, show_default=True, help="Number of clips to draw.")
@click.option("--full", is_flag=True, help="Decode every file again and compare each frame with the index.")
@terminal_options
def check(
    terminal: Terminal,
    source: Location,
    index: Path | None,
    sheet: Path | None,
    overwrite: bool,
    clips: int,
    full: bool,
) -> None:
    """Print the index of DATA, and whether the files have changed since.

    \b
    Example:
      videogen data check ~/videos --sheet sheet.png
    """
    from videogen.data import check_files, describe, draw_sheet, load_index, summarize

    refuse_overwrite(sheet, overwrite)
    known = load_index(source, index)
    with terminal.progress("checking", "files") as on_progress:
        changed = check_files(known, full=full, on_progress=on_progress)
    if sheet is not None:
        draw_sheet(known, clips).save(sheet)
        terminal.note(f"wrote {sheet}")
    summary: dict[str, Any] = {**summarize(known), "changed": changed}
    terminal.report(summary, describe(summary))
    if changed:
        raise DataError(
            f"{source}: {len(changed)} files differ from the index; run `videogen data index {source}` again"
        )
    refuse_empty(source, summary)


def refuse_empty(source: Location, summary: dict[str, Any]) -> None:
    """DataError if no clip is good; training itself limits the share of refused clips (`max_bad_fraction`)."""
    if not summary["good"]:
        raise DataError(f"{source}: no clip is usable; all {summary['refused']} were refused")


@data.command("playroom")
@click.argument("out", type=OUTPUT_FOLDER)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--config", help="A configuration of schema playroom: a file, or a preset such as held_out.")
@click.option("--clips", type=click.IntRange(1), help="Number of clips [default: 100].")
@click.option("--seed", type=click.IntRange(0), help="Clip i depends on the seed and i alone [default: 0].")
@click.option("--size", type=click.IntRange(16, 1024), help="Height and width in pixels [default: 64].")
@click.option("--frames", type=click.IntRange(1), help="Frames per clip [default: 17].")
@click.option("--fps", type=float, help="Frame rate [default: 8].")
@click.option("--sheet", type=IMAGE_FILE, help="Draw the first clips with their captions into this image.")
@click.option("--reel", type=VIDEO_FILE, help="Write the first clips side by side into this video.")
@terminal_options
def playroom(
    terminal: Terminal,
    out: Path,
    overrides: tuple[str, ...],
    config: str | None,
    sheet: Path | None,
    reel: Path | None,
    **flags: int | float | None,
) -> None:
    """Render a synthetic training set with captions into the folder OUT.

    The playroom is a world of moving shapes over colored backgrounds whose captions are right by construction.
    Running the command again with more clips extends the set.

    \b
    Examples:
      videogen data playroom toys --clips 1000 --seed 1
      videogen data playroom toys --config held_out size=128
    """
    from videogen.config import resolve
    from videogen.config.bind import load
    from videogen.playroom.write import PlayroomConfig, preview, write_playroom

    given = [f"{key}={value}" for key, value in flags.items() if value is not None]
    settings = [*given, *overrides]
    world: PlayroomConfig = (
        load(PlayroomConfig, None, settings).value
        if config is None
        else resolve(config, settings, expected="playroom")[1].value
    )
    with terminal.progress("rendering", "clips") as on_progress:
        write_playroom(out, world, on_progress)
    if sheet is not None or reel is not None:
        preview(out, world.fps, sheet, reel)
    text = f"{world.clips} clips of {world.frames} frames, {world.size} x {world.size}, in {out}"
    terminal.report({"folder": str(out), "clips": world.clips}, text)


@data.command("score")
@click.argument("source", metavar="DIR", type=ANY_PATH)
@terminal_options
def score(terminal: Terminal, source: Path) -> None:
    """Score how well each video in DIR shows what its playroom caption says.

    The oracle sees pixels alone. It scores shapes, colors, sizes, motions, speeds and the background separately.

    \b
    Example:
      videogen data score toys
    """
    from videogen.playroom.score import describe, score_folder

    with terminal.progress("scoring", "clips") as on_progress:
        scores = score_folder(source, on_progress=on_progress)
    terminal.report(scores, describe(scores))


@data.command("sample")
@click.argument("source", metavar="TOKENS", type=ANY_PATH)
@click.argument("out", type=OUTPUT_FOLDER)
@REQUIRED_MODEL
@click.option("--clips", type=click.IntRange(1), help="Number of clips, the first of TOKENS [default: all].")
@click.option("--frames", type=click.IntRange(1), help="At most this many frames of each clip [default: all].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Clip i has seed + i.")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Clips at the same time.")
@sampling_options
@DTYPE
@THREADS
@DEVICE
@terminal_options
def sample(
    terminal: Terminal,
    source: Path,
    out: Path,
    model: Path,
    clips: int | None,
    frames: int | None,
    seed: int,
    batch: int,
    dtype: str | None,
    threads: int | None,
    device: str,
    **sampling: Any,
) -> None:
    """Sample a token set: the captions and controls of TOKENS with latent frames of a model's own, in the folder OUT.

    A prior that is trained on it learns what this model makes of a caption in many guided proposals, and needs neither
    the guidance nor so many of them. An interrupted run continues where it stopped.

    \b
    Example:
      videogen data sample tokens teacher_tokens --model playroom --clips 4000
    """
    from videogen.generation.sampled_tokens import TokenSampling, sample_tokens
    from videogen.pipeline import VideoPipeline
    from videogen.system.devices import use_device
    from videogen.system.threads import use_threads
    from videogen.tokens import TokenSet

    use_threads(threads)
    pipe = VideoPipeline.from_pretrained(model, device=use_device(device), dtype=dtype)
    settings = TokenSampling(pipe.sampler_with(sampling_given(sampling)), seed, clips, frames, batch)
    with terminal.progress("sampling", "clips") as on_progress:
        made = sample_tokens(pipe.model, TokenSet.open(source), out, settings, on_progress)
    text = f"{out}: {len(made)} clips of the captions of {source}, sampled by {model}"
    terminal.report({"folder": str(out), "clips": len(made), "model": str(model)}, text)
