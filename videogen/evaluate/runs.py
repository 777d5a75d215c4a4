"""Runs of training side by side: their last figures, and how they came there."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videogen.errors import DataError
from videogen.evaluate.plot import Line, chart


def validations(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's validation, oldest first."""
    metrics = run / "metrics.jsonl"
    if not metrics.is_file():
        raise DataError(f"{run}: no metrics.jsonl in it, so it is not the folder of a run")
    try:
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        raise DataError(f"{metrics}: a line of it is not JSON; --resume the run, which mends it") from None
    return [line for line in lines if line["kind"] == "validation"]


def compare(runs: Sequence[Path], figure: str) -> tuple[list[dict[str, Any]], str]:
    """The last validation of each run, and one figure over the steps as an SVG chart."""
    rows, curves = [], []
    for run in runs:
        lines = validations(run)
        if not lines or figure not in lines[-1]:
            known = ", ".join(name for name in lines[-1] if name not in ("step", "kind")) if lines else "none yet"
            raise DataError(f"{run}: its validation has no '{figure}', but {known}")
        rows.append({"run": run.name, **{name: value for name, value in lines[-1].items() if name != "kind"}})
        curves.append(Line(run.name, [line["step"] for line in lines], [line[figure] for line in lines]))
    return rows, chart(f"{figure} on clips held out", "step", figure, curves)


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    names = list(rows[0])
    cells = [names, *([_said(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
