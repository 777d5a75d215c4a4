"""`videogen evaluate tokenizer`."""

from pathlib import Path

import click

from videogen.cli.engine_options import engine_options, workers_option
from videogen.cli.options import DEVICE, INDEX, OVERWRITE_REPORT, REQUIRED_MODEL, THREADS, TOKENS
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER, POSITIVE, SizeType
from videogen.cli.terminal import Terminal, terminal_options
from videogen.executors.chosen import EngineName, open_executor
from videogen.system.devices import use_device
from videogen.system.threads import use_threads


@click.command("tokenizer")
@click.argument("data", metavar="DATA", type=ANY_PATH)
@REQUIRED_MODEL
@TOKENS
@INDEX
@click.option("--clips", type=click.IntRange(1), help="Evaluate at most this many clips.")
@click.option("--frames", type=click.IntRange(1), help="Frames per clip [default: as in training].")
@click.option("--size", type=SizeType(), help="Frame size [default: as in training].")
@click.option("--fps", type=POSITIVE, help="Frame rate [default: as in training].")
@click.option("--lpips", type=ANY_PATH, help="Folder of `videogen convert lpips`, to report LPIPS too.")
@click.option("--i3d", type=ANY_PATH, help="Folder of `videogen convert i3d`, for FVD to the same clips.")
@click.option("--transnet", type=ANY_PATH, help="Folder of `videogen convert transnet`, for its Frechet distance.")
@click.option("--out", type=OUTPUT_FOLDER, help="A folder for plots, a grid of reconstructions and figures.json.")
@OVERWRITE_REPORT
@THREADS
@DEVICE
@workers_option("1")
@engine_options
@terminal_options
def tokenizer(
    terminal: Terminal,
    data: Path,
    model: Path,
    tokens: int | None,
    index: Path | None,
    clips: int | None,
    frames: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    lpips: Path | None,
    i3d: Path | None,
    transnet: Path | None,
    out: Path | None,
    overwrite: bool,
    threads: int | None,
    device: str,
    workers: int | None,
    engine: EngineName,
    address: str | None,
) -> None:
    """Evaluate a tokenizer on the indexed clips of DATA: quality, code usage, bits, flicker, attributes in codes.

    \b
    Examples:
      videogen evaluate tokenizer fresh --model runs/toys --out report
      videogen evaluate tokenizer fresh --model runs/toys --out report --workers 4
    """
    from videogen.clip_spec import ClipSpec
    from videogen.evaluation.report.folder import check_report_folder
    from videogen.evaluation.tokenizer.clip_measures import MeasureFolders
    from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
    from videogen.evaluation.tokenizer.video import as_table, check_size
    from videogen.models import load_tokenizer

    if out is not None:
        check_report_folder(out, overwrite)
    use_threads(threads)
    opened = load_tokenizer(model, use_device(device if engine == "local" else "cpu"), tokens)
    trained = opened.clips
    height, width = size or (trained.height, trained.width)
    check_size(opened.network, height, width)
    spec = ClipSpec(height, width, fps or trained.fps, frames or trained.frames)
    folders = MeasureFolders(lpips, i3d, transnet)
    with (
        open_executor(engine, address, workers, threads, device) as executor,
        terminal.progress("evaluating", "clips") as on_progress,
    ):
        metrics = evaluate_tokenizer(
            opened, data, index, spec, clips, folders, out, on_progress, executor=executor, device=device
        )
    skipped = ", ".join(f"{count} {why}" for why, count in metrics["skipped"].items() if count)
    left_out = f" ({skipped}: skipped)" if skipped else ""
    terminal.report(metrics, f"{metrics['clips']} clips of {data}{left_out}\n{as_table(metrics)}")
