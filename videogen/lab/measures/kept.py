"""What tokens keep of details: words, small shapes, thin lines and fast dots that are drawn for the test.

words_N   the share of characters of words of N pixels that a reader reads in the last frame; `ceiling_words_N` of the
          drawings themselves. Without RapidOCR there are none.
shapes_N, lines_N, motion_N
          the contrast kept, from 0 to 1, of shapes of N pixels, of lines N pixels wide, of dots that move N pixels a
          frame
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from videogen.lab import ocr
from videogen.lab.drawings.drawing import Drawing, MovingStamp
from videogen.lab.drawings.exam import Question, questions
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext
from videogen.lab.sheets import DETAILS, original_of, picture_of, save_strip

Frames = NDArray[np.uint8]  # [T, H, W, 3]
MARGIN = 4  # pixels around a word that the reader sees


def measure(context: MeasureContext) -> Figures:
    asked = list(questions(context.model.clips))
    originals = torch.from_numpy(np.stack([each.drawing.frames for each in asked]))
    seen = list(context.reconstruct(originals).numpy())
    save_details(asked, seen, context.pictures)
    return figures_of(asked, seen, ocr.open_reader() if ocr.is_installed() else None)


def figures_of(asked: Sequence[Question], seen: Sequence[Frames], reader: ocr.Reader | None) -> Figures:
    """Figures by kind and number, and their means by kind, from the reconstructions of the drawings."""
    grades: dict[str, dict[int, list[float]]] = {}
    for question, frames in zip(asked, seen, strict=True):
        for kind, grade in graded(question, frames, reader).items():
            grades.setdefault(kind, {}).setdefault(question.number, []).append(grade)
    figures = {kind: fmean(map(fmean, by_number.values())) for kind, by_number in grades.items()}
    for kind, by_number in grades.items():
        figures |= {f"{kind}_{number}": fmean(each) for number, each in by_number.items()}
    return figures


def graded(question: Question, frames: Frames, reader: ocr.Reader | None) -> dict[str, float]:
    """The grade of one reconstruction, and of the drawing itself where that is not 1 by definition."""
    if question.kind != "words":
        return {question.kind: contrast_kept(question.drawing, frames)}
    if reader is None:
        return {}
    read = [reader(around(question.drawing.things[0], each)) for each in (frames, question.drawing.frames)]
    own, ceiling = (ocr.character_accuracy(text, question.word) for text in read)
    return {"words": own, "ceiling_words": ceiling}


def contrast_kept(drawing: Drawing, frames: Frames) -> float:
    """How much of the ink is left where it was drawn: 1 for all of it, 0 where nothing but ground is seen.

    The reconstruction's difference from its ground, projected on that of the drawing.
    """
    ink, drawn, seen = drawing.ink, drawing.frames.astype(np.float64), frames.astype(np.float64)
    ground = seen[~ink].mean(0)
    wanted = (drawn - np.array(drawing.ground))[ink]
    kept = ((seen[ink] - ground) * wanted).sum() / np.square(wanted).sum()
    return float(np.clip(kept, 0, 1))


def around(word: MovingStamp, frames: Frames) -> Frames:
    """The word in the last frame, with a margin."""
    (row, column), (h, w) = word.places[-1], word.stamp.shape
    return frames[-1, max(0, row - MARGIN) : row + h + MARGIN, max(0, column - MARGIN) : column + w + MARGIN]


def save_details(asked: Sequence[Question], seen: Sequence[Frames], pictures: Path) -> None:
    """One drawing of each kind and number in its last frame, and what was reconstructed, as two strips."""
    pictures.mkdir(exist_ok=True)
    first = {(each.kind, each.number): number for number, each in reversed(list(enumerate(asked)))}
    drawn = [each.drawing.frames for each in asked]
    for frames, place in ((drawn, original_of(pictures, DETAILS)), (seen, picture_of(pictures, DETAILS))):
        save_strip(np.stack([frames[number][-1] for number in sorted(first.values())]), place)
