"""The command `videogen evaluate prior`."""

import tempfile
from pathlib import Path

import click

from videogen.cli.kinds import OUT_FOLDER
from videogen.cli.models import DEVICE, GENERATOR, OVERWRITE, PLACE, generator_at, usable_device
from videogen.cli.terminal import Terminal, reports
from videogen.cli.train import THREADS
from videogen.threads import use_threads


@click.command("prior")
@click.argument("data", metavar="DATA", type=PLACE)
@GENERATOR
@click.option("--index", type=PLACE, help="The index, where it does not lie with the data.")
@click.option("--clips", type=click.IntRange(1), help="Ask about at most so many clips, evenly over the set.")
@click.option("--frames", type=click.IntRange(1), help="Pictures of a clip [default: as the prior was taught].")
@click.option(
    "--validation-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Only clips that a run with this data.validation_share keeps back.",
)
@click.option("--out", type=OUT_FOLDER, help="A folder for figures.json and a chart.")
@OVERWRITE
@THREADS
@DEVICE
@reports
def prior(
    terminal: Terminal,
    data: Path,
    model: Path | None,
    index: Path | None,
    clips: int | None,
    frames: int | None,
    validation_share: float | None,
    out: Path | None,
    overwrite: bool,
    threads: int | None,
    device: str,
) -> None:
    """Judge how well a prior foretells the clips of DATA, and how much of that it has from their captions.

    DATA is a set of tokens, or indexed clips: those are encoded first. On clips that it has learned from and on others,
    the same command says how much it learned by heart.

    \b
    Examples:
      videogen evaluate prior tokens --model runs/prior --validation-share 0.02
      videogen evaluate prior fresh --model runs/prior --clips 200 --out report
    """
    from videogen.evaluation.prior.evaluate import ClipSelection, as_table, evaluate_prior
    from videogen.evaluation.report.folder import check_report_folder
    from videogen.models import load_prior

    if out is not None:
        check_report_folder(out, overwrite)
    use_threads(threads)
    opened = load_prior(generator_at(model), usable_device(device))
    choice = ClipSelection(frames or opened.clips.frames, clips, validation_share)
    with tempfile.TemporaryDirectory() as scratch, terminal.progress("judging", "clips") as on_progress:
        figures = evaluate_prior(opened, data, choice, Path(scratch) / "tokens", index, out, on_progress)
    terminal.report(figures, f"{as_table(figures)}")
