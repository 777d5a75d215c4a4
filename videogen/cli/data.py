"""`videogen data`: turn videos into training sets that can be trusted, and make one out of nothing."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.kinds import FILM, OUT_FOLDER, PICTURE, refuse_taken
from videogen.cli.terminal import Terminal, reports
from videogen.errors import DataError

EXISTING = click.Path(path_type=Path)
INDEX = click.option("--index", "index_path", type=EXISTING, help="The index, where it does not lie with the data.")


@click.group()
def data() -> None:
    """Make, index and check training sets."""


@data.command("index")
@click.argument("source", metavar="DATA", type=EXISTING)
@click.option("--out", type=EXISTING, help="Where to write the index [default: with the data].")
@click.option("--workers", type=click.IntRange(1), help="Processes [default: one a core].")
@reports
def index(terminal: Terminal, source: Path, out: Path | None, workers: int | None) -> None:
    """Read every video of DATA once, and write down what is in it or why it is refused.

    DATA is a folder of videos with captions beside them (clip.mp4, clip.txt), a videofolder of Hugging Face
    (metadata.jsonl or .csv with file_name and text), a manifest (.csv or .jsonl with path, caption, and optionally
    start and end in seconds), or WebDataset shards (.tar or .tar.gz, or a folder of them).
    Files that have not changed since the last time are not read again; a run that was stopped goes on where it was.

    \b
    Examples:
      videogen data index ~/videos
      videogen data index clips.csv --out clips.index.jsonl
    """
    from videogen.data import build_index, describe

    with terminal.progress("indexing", "files") as on_progress:
        built = build_index(source, out=out, workers=workers, on_progress=on_progress)
    summary = built.summary()
    terminal.report(summary, describe(summary))
    refuse_useless(source, summary)


@data.command("check")
@click.argument("source", metavar="DATA", type=EXISTING)
@INDEX
@click.option("--sheet", type=PICTURE, help="Also draw some clips with their captions into this PNG.")
@click.option("--overwrite", is_flag=True, help="Replace the PNG that is there already.")
@click.option("--clips", type=click.IntRange(1, 200), default=12, show_default=True, help="How many clips to draw.")
@click.option("--full", is_flag=True, help="Decode every file again and compare every frame with the index.")
@reports
def check(
    terminal: Terminal,
    source: Path,
    index_path: Path | None,
    sheet: Path | None,
    overwrite: bool,
    clips: int,
    full: bool,
) -> None:
    """Show what the index of DATA says, and whether the files are still the ones it saw.

    \b
    Example:
      videogen data check ~/videos --sheet sheet.png
    """
    from videogen.data import check_files, describe, draw_sheet, load_index

    refuse_taken(sheet, overwrite)
    known = load_index(source, index_path)
    with terminal.progress("checking", "files") as on_progress:
        changed = check_files(known, full=full, on_progress=on_progress)
    if sheet is not None:
        draw_sheet(known, clips).save(sheet)
        terminal.note(f"drew {sheet}")
    summary: dict[str, Any] = {**known.summary(), "changed": changed}
    terminal.report(summary, describe(summary))
    if changed:
        raise DataError(f"{source}: {len(changed)} things changed; run `videogen data index {source}` again")
    refuse_useless(source, summary)


def refuse_useless(source: Path, summary: dict[str, Any]) -> None:
    """Some refused clips are for training to judge (`max_bad_fraction`), but none that is good serves nobody."""
    if not summary["good"]:
        raise DataError(f"{source}: no clip can be used, all {summary['refused']} were refused")


@data.command("playroom")
@click.argument("out", type=OUT_FOLDER)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--config", help="A configuration of the schema 'playroom': a file, or a preset such as held_out.")
@click.option("--clips", type=click.IntRange(1), help="How many clips [default: 100].")
@click.option("--seed", type=click.IntRange(0), help="Clip i is a function of the seed and i alone [default: 0].")
@click.option("--size", type=click.IntRange(16, 1024), help="Height and width in pixels [default: 64].")
@click.option("--frames", type=click.IntRange(1), help="Frames a clip [default: 17].")
@click.option("--fps", type=float, help="Frames a second [default: 8].")
@click.option("--sheet", type=PICTURE, help="Also draw the first clips with their captions into this PNG.")
@click.option("--reel", type=FILM, help="Also write a video of the first clips side by side.")
@reports
def playroom(
    terminal: Terminal,
    out: Path,
    overrides: tuple[str, ...],
    config: str | None,
    sheet: Path | None,
    reel: Path | None,
    **flags: int | float | None,
) -> None:
    """Write a captioned training set made of nothing into the folder OUT.

    The playroom is a world of moving shapes over coloured backgrounds whose captions are right by construction.
    Running the command again with more clips extends the set; what is there already is kept.

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
@click.argument("source", metavar="DIR", type=EXISTING)
@reports
def score(terminal: Terminal, source: Path) -> None:
    """Look at the videos in DIR and say how well each one shows what its playroom caption asks for.

    The oracle sees pixels alone. It judges shapes, colours, sizes, motions, speeds and background, one by one.

    \b
    Example:
      videogen data score toys
    """
    from videogen.playroom.score import describe, score_folder

    with terminal.progress("looking", "clips") as on_progress:
        figures = score_folder(source, on_progress=on_progress)
    terminal.report(figures, describe(figures))
