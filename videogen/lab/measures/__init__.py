"""What is measured on a trained variant: one file a measure, one function in it.

    def measure(context: MeasureContext) -> Figures

`context` (context.py) has the trained tokenizer, the held-out clips uint8 [N, T, H, W, 3] with their captions, the
reconstructions, the run folder, and a folder for pictures. `Figures` are a flat dict: name -> number. A new measure is
a file with this function and a line in MEASURES; a new figure that should be in the table is a line in
`videogen.lab.headings.HEADINGS`.

This module imports no measure until it is used, because they need torch.
"""

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from videogen.lab.measures.context import MeasureContext

Figures: TypeAlias = dict[str, float]

MEASURES = {  # in the order of the columns
    "reconstruction": "videogen.lab.measures.reconstruction",
    "images": "videogen.lab.measures.images",
    "kept": "videogen.lab.measures.kept",
    "usage": "videogen.lab.measures.usage",
    "oracle": "videogen.lab.measures.oracle",
    "prefix": "videogen.lab.measures.prefix",
    "soft_gap": "videogen.lab.measures.soft_gap",
    "cost": "videogen.lab.measures.cost",
    "layout": "videogen.lab.measures.layout",
    "prior": "videogen.lab.measures.prior",
    "prior_speed": "videogen.lab.measures.prior_speed",
}
PLAYROOM_ONLY = frozenset({"oracle", "prior"})  # they compare with what a caption of the playroom says


def left_out(names: Iterable[str]) -> list[str]:
    """What these measures cannot measure here, a line each."""
    from videogen.lab import ocr

    return [ocr.LEFT_OUT] if "kept" in names and not ocr.is_installed() else []


def measure(name: str, context: "MeasureContext") -> Figures:
    """The figures of this measure."""
    figures: Figures = importlib.import_module(MEASURES[name]).measure(context)
    return figures
