"""`videogen evaluate captions`."""

import tempfile
from contextlib import closing
from pathlib import Path

import click

from videogen.cli.options import DEVICE, INDEX, MODEL, OVERWRITE_REPORT, THREADS, model_or_bundled
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER
from videogen.cli.terminal import Terminal, terminal_options
from videogen.system.devices import use_device
from videogen.system.threads import use_threads


@click.command("captions")
@click.argument("data", metavar="DATA", type=ANY_PATH)
@MODEL
@INDEX
@click.option("--clips", type=click.IntRange(2), help="Evaluate at most this many clips, spread evenly over the set.")
@click.option("--frames", type=click.IntRange(1), help="Frames per clip [default: as in training].")
@click.option(
    "--beams", type=click.IntRange(1), default=1, show_default=True, help="Captions that the beam search keeps."
)
@click.option(
    "--validation-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Only the validation clips of a run with this data.validation_share.",
)
@click.option("--out", type=OUTPUT_FOLDER, help="A folder for figures.json and a chart.")
@OVERWRITE_REPORT
@THREADS
@DEVICE
@terminal_options
def captions(
    terminal: Terminal,
    data: Path,
    model: Path | None,
    index: Path | None,
    clips: int | None,
    frames: int | None,
    beams: int,
    validation_share: float | None,
    out: Path | None,
    overwrite: bool,
    threads: int | None,
    device: str,
) -> None:
    """Score the captions that a model writes of the playroom clips in DATA, attribute by attribute.

    DATA is a token set, or indexed clips, which are encoded first. Beside each figure is that of captions of other
    clips, which shows what is right by chance.

    \b
    Examples:
      videogen evaluate captions tokens --model runs/unified --validation-share 0.02
      videogen evaluate captions fresh --model runs/unified --clips 200 --beams 4 --out report
    """
    from videogen.evaluation.prior.captions import as_table, evaluate_captions
    from videogen.evaluation.prior.evaluate import ClipSelection
    from videogen.evaluation.report.folder import check_report_folder
    from videogen.models import load_prior

    if out is not None:
        check_report_folder(out, overwrite)
    use_threads(threads)
    opened = load_prior(model_or_bundled(model), use_device(device))
    selection = ClipSelection(frames or opened.clips.frames, clips, validation_share)
    on_encoding, on_progress = terminal.progress("encoding", "clips"), terminal.progress("captioning", "clips")
    with tempfile.TemporaryDirectory() as scratch, closing(on_encoding), closing(on_progress):
        tokens = Path(scratch) / "tokens"
        figures = evaluate_captions(opened, data, selection, tokens, index, out, beams, on_progress, on_encoding)
    terminal.report(figures, as_table(figures))
