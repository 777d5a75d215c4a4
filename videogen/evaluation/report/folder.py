"""The folder of a report: figures.json and the charts and images of one evaluation."""

import json
from pathlib import Path
from typing import Any

from videogen.errors import UsageError

FIGURES = "figures.json"
CHART_FILES = (
    *("attributes.svg", "speed.svg", "drift_*.svg", "drift_*.png", "clips_*.png"),
    *("psnr.svg", "codes.svg", "tokens.svg", "reconstructions.png", "reconstructions.mp4", "nats.svg"),
    *("usage.svg", "ranks.svg", "perplexity.svg", "distances*.svg", "positions.svg", "chunks.svg", "bits.svg"),
    *("voronoi.png", "decoded.png", "README.md"),
    *("rate.svg", "steps.svg"),
)


def check_report_folder(out: Path, overwrite: bool) -> None:
    """UsageError if the folder contains a report and `overwrite` is false."""
    if not overwrite and (out / FIGURES).exists():
        raise UsageError(f"{out}: already contains a report; --overwrite replaces it")


def write_figures(out: Path, figures: dict[str, Any]) -> None:
    """Writes figures.json; first deletes the charts of an earlier report, but no other files."""
    text = json.dumps(figures, indent=2, allow_nan=False) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    if (out / FIGURES).exists():
        for old in (place for pattern in CHART_FILES for place in out.glob(pattern)):
            old.unlink()
    (out / FIGURES).write_text(text, encoding="utf-8")
