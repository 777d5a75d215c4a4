"""`videogen evaluate codebook`."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.options import DEVICE, INDEX, OVERWRITE_REPORT, THREADS
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER
from videogen.cli.terminal import Terminal, terminal_options
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

CLIPS = 400


@click.command("codebook")
@click.argument("model", metavar="MODEL", type=ANY_PATH)
@click.argument("data", metavar="[DATA]", type=ANY_PATH, required=False)
@click.option(
    "--out", type=OUTPUT_FOLDER, required=True, help="A folder for figures.json, charts, pictures and a page."
)
@OVERWRITE_REPORT
@INDEX
@click.option(
    "--clips", type=click.IntRange(1), default=CLIPS, show_default=True, help="Encode at most this many clips."
)
@THREADS
@DEVICE
@terminal_options
def codebook(
    terminal: Terminal,
    model: Path,
    data: Path | None,
    out: Path,
    overwrite: bool,
    index: Path | None,
    clips: int,
    threads: int | None,
    device: str,
) -> None:
    """Look at a codebook: which codes live, where they lie, what they look like, how many bits they need.

    MODEL is a model folder or the folder of a training run, whose log then shows the perplexity over training. DATA are
    indexed clips to encode; without them nothing is known about use.

    \b
    Examples:
      videogen evaluate codebook playroom fresh --out look
      videogen evaluate codebook runs/vq --out look
    """
    from videogen.evaluation.codebook.report import evaluate_codebook
    from videogen.evaluation.report.folder import check_report_folder
    from videogen.models import load_tokenizer

    check_report_folder(out, overwrite)
    use_threads(threads)
    opened = load_tokenizer(model, use_device(device))
    with terminal.progress("encoding", "clips") as on_progress:
        figures = evaluate_codebook(opened, out, data, index, clips, model, on_progress)
    terminal.report(figures, f"{as_lines(figures)}\n{out}")


def as_lines(figures: dict[str, Any]) -> str:
    """A line for each codebook."""
    lines = [f"{figures['model']['quantizer']}, {figures['model']['bits']:.2f} bits a token"]
    for part in figures["parts"]:
        given = part["conditional_entropy_bits"]
        before = "" if given is None else f", {given:.2f} given the code before"
        lines.append(
            f"{part['name']}: {part['used']:,} of {part['codes']:,} codes used ({part['dead']:,} never), perplexity "
            f"{part['perplexity']:,.1f}, entropy {part['entropy_bits']:.2f} of {part['bits']:.2f} bits{before}"
        )
    return "\n".join(lines)
