"""`videogen evaluate runs`."""

from pathlib import Path

import click

from videogen.cli.param_types import ANY_PATH, SVG_FILE, refuse_overwrite
from videogen.cli.terminal import Terminal, terminal_options


@click.command("runs")
@click.argument("runs", metavar="RUN...", type=ANY_PATH, nargs=-1, required=True)
@click.option("--figure", help="Metric to draw [default: psnr of tokenizers, nats of priors].")
@click.option("--out", type=SVG_FILE, help="Draw the metric over the training steps into this SVG.")
@click.option("--overwrite", is_flag=True, help="Replace an existing SVG.")
@terminal_options
def runs(terminal: Terminal, runs: tuple[Path, ...], figure: str | None, out: Path | None, overwrite: bool) -> None:
    """Print the last validation of each run folder, side by side.

    \b
    Example:
      videogen evaluate runs runs/fsq runs/lfq --out curves.svg
    """
    from videogen.evaluation.lab.runs import as_table, compare

    refuse_overwrite(out, overwrite)
    rows, svg = compare(runs, figure)
    if out is not None:
        out.write_text(svg, encoding="utf-8")
    terminal.report({"runs": rows}, as_table(rows))
