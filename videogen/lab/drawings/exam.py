"""The drawings that a tokenizer is tested with: one thing a clip, the same at every call."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from videogen.clip_spec import ClipSpec
from videogen.lab.drawings.drawing import Drawing, draw_things, fits, moving
from videogen.lab.drawings.stamps import SHAPES, Stamp, line_stamp, shape_stamp, word_stamp
from videogen.lab.drawings.words import random_word

Kind = Literal["words", "shapes", "lines", "motion"]
WORD_SIZES, WORDS_EACH = (10, 13, 16), 8  # pixels of the font
SHAPE_SIDES = (2, 3, 4, 6, 8)
LINE_WIDTHS, LINE_ANGLES, LINE_LENGTH = (1, 2, 3), (20, 45, 70, 90, 135, 0), 24
SPEEDS, DOT_SIDE, DOTS_EACH = (1, 2, 4, 8, 16), 6, 4  # pixels a frame

SHOWN_DETAILS = sum(map(len, (WORD_SIZES, SHAPE_SIDES, LINE_WIDTHS, SPEEDS)))  # one of each in a picture


def describe() -> str:
    """What a picture of all details shows, in order."""
    sizes, sides, widths, speeds = (
        ", ".join(map(str, each)) for each in (WORD_SIZES, SHAPE_SIDES, LINE_WIDTHS, SPEEDS)
    )
    return f"words of {sizes} pixels, shapes of {sides}, lines of {widths}, dots that move {speeds} pixels a frame"


@dataclass(frozen=True, eq=False)
class Question:
    """A drawing, and which detail of it is asked about."""

    kind: Kind
    number: int  # the size of the font, the side, the width, or the speed
    drawing: Drawing
    word: str = ""


def questions(spec: ClipSpec) -> Iterator[Question]:
    """For clips of this size and length; what is too large for the frames is left out."""
    return (asked for asked in all_questions(spec) if asked is not None)


def all_questions(spec: ClipSpec) -> Iterator[Question | None]:
    yield from word_questions(spec)
    for side in SHAPE_SIDES:
        for shape in SHAPES:
            yield question(spec, "shapes", side, shape, shape_stamp(shape, side), speed=0)
    for width in LINE_WIDTHS:
        for degrees in LINE_ANGLES:
            yield question(spec, "lines", width, str(degrees), line_stamp(width, LINE_LENGTH, degrees), speed=0)
    for speed in SPEEDS:
        for copy in range(DOTS_EACH):
            yield question(spec, "motion", speed, str(copy), shape_stamp("disc", DOT_SIDE), speed)


def word_questions(spec: ClipSpec) -> Iterator[Question | None]:
    """Words that no training clip shows; half of them drift."""
    for size in WORD_SIZES:
        for copy in range(WORDS_EACH):
            word = random_word(random.Random(f"word {size} {copy}"), held_out=True)
            yield question(spec, "words", size, word, word_stamp(word, size), speed=copy % 2, word=word)


def question(
    spec: ClipSpec, kind: Kind, number: int, name: str, stamp: Stamp, speed: int, word: str = ""
) -> Question | None:
    if not fits(stamp, spec):
        return None
    chance = random.Random(f"{kind} {number} {name}")
    return Question(kind, number, draw_things([moving(stamp, spec, speed, chance)], spec, chance), word)
