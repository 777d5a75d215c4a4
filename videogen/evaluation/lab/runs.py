"""Compares training runs: their last validation, and one figure over steps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videogen.errors import DataError
from videogen.evaluation.report.line_charts import Series, line_chart

METRICS = "metrics.jsonl"
MAIN_FIGURES = ("psnr", "nats", "loss")  # of a tokenizer, of a prior, of one without a likelihood


def validations(run: Path) -> list[dict[str, Any]]:
    """The validation lines of a run, oldest first."""
    return log_lines(run, "validation")


def log_lines(run: Path, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind, train or validation, of a run's log, oldest first."""
    metrics = run / METRICS
    if not metrics.is_file():
        raise DataError(f"{run}: contains no {METRICS}; expected a run folder")
    try:
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        raise DataError(f"{metrics}: contains a line that is not JSON; --resume the run to repair it") from None
    return [line for line in lines if line["kind"] == kind]


def compare(runs: Sequence[Path], figure: str | None = None) -> tuple[list[dict[str, Any]], str]:
    """The last validation of each run, and an SVG chart of one figure over the steps.

    The figure is by default the main one of the first run. A run without validation has the step None.
    """
    known = {run: validations(run) for run in runs}
    validated = {run: lines for run, lines in known.items() if lines}
    if not validated:
        raise DataError(f"{', '.join(map(str, runs))}: no run was validated yet")
    drawn = figure or _main_figure(next(iter(validated.values()))[-1])
    curves = [Series(run.name, *_curve(run, lines, drawn)) for run, lines in validated.items()]
    rows = [{"run": run.name, "step": None, **_figures(known[run][-1] if known[run] else {})} for run in runs]
    return rows, line_chart(f"{drawn} on held-out clips", "step", drawn, curves)


def _main_figure(line: dict[str, Any]) -> str:
    names = [name for name in line if name not in ("step", "kind")]
    return next((name for name in MAIN_FIGURES if name in names), names[0])


def _curve(run: Path, lines: Sequence[dict[str, Any]], figure: str) -> tuple[list[float], list[float]]:
    if figure not in lines[-1]:
        known = ", ".join(name for name in lines[-1] if name not in ("step", "kind"))
        raise DataError(f"{run}: its validation has no '{figure}', only {known}; choose one of these with --figure")
    return [line["step"] for line in lines], [line[figure] for line in lines]


def _figures(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "kind"}


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(next(row for row in rows if row["step"] is not None))
    cells = [names, *([_format(name, row.get(name)) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(map(str.rstrip, lines))


def _format(name: str, value: Any) -> str:
    if value is None:
        return "not validated yet" if name == "step" else "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
