"""The folder of a report: figures.json and what is drawn beside it, of one evaluation and never of two."""

import json
from pathlib import Path
from typing import Any

from videogen.errors import UsageError

FIGURES = "figures.json"
CHART_FILES = (
    *("attributes.svg", "speed.svg", "drift_*.svg", "drift_*.png", "clips_*.png"),
    *("psnr.svg", "codes.svg", "reconstructions.png", "reconstructions.mp4", "nats.svg"),
)


def check_report_folder(out: Path, overwrite: bool) -> None:
    """UsageError for a folder that holds a report which is not to be replaced."""
    if not overwrite and (out / FIGURES).exists():
        raise UsageError(f"{out}: holds a report already; --overwrite replaces it")


def write_figures(out: Path, figures: dict[str, Any]) -> None:
    """The figures; an earlier report goes only now that there is another, and what belongs to none stays."""
    text = json.dumps(figures, indent=2, allow_nan=False) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    if (out / FIGURES).exists():
        for old in (place for pattern in CHART_FILES for place in out.glob(pattern)):
            old.unlink()
    (out / FIGURES).write_text(text, encoding="utf-8")
