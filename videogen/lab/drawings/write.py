"""A folder of drawings to train on: in each clip a word, a small shape or dot, and a thin line."""

import random
from pathlib import Path

from videogen.clip_spec import ClipSpec
from videogen.lab.drawings.drawing import Drawing, draw_things, fits, moving
from videogen.lab.drawings.stamps import SHAPES, line_stamp, shape_stamp, word_stamp
from videogen.lab.drawings.words import random_word

QUALITY = 8  # H.264's crf, hardly different from the drawing
WORD_SIZES, SIDES, WIDTHS, LENGTHS = (9, 17), (2, 10), (1, 3), (12, 32)  # from, to
SPEEDS = (0, 0, 1, 2, 4, 8, 16)  # of shapes, pixels a frame


def training_drawing(spec: ClipSpec, seed: int, number: int) -> Drawing:
    """Clip `number` of a set."""
    chance = random.Random(f"training drawing {seed} {number}")
    stamps = [
        (word_stamp(random_word(chance, held_out=False), chance.randint(*WORD_SIZES)), chance.randint(0, 1)),
        (shape_stamp(chance.choice(SHAPES), chance.randint(*SIDES)), chance.choice(SPEEDS)),
        (line_stamp(chance.randint(*WIDTHS), chance.randint(*LENGTHS), chance.uniform(0, 180)), chance.randint(0, 2)),
    ]
    return draw_things(
        [moving(stamp, spec, speed, chance) for stamp, speed in stamps if fits(stamp, spec)], spec, chance
    )


def write_drawings(out: Path, count: int, spec: ClipSpec, seed: int) -> None:
    """Write drawing_000000.mp4 and so on; a file gets its name when it is complete, and those that exist are kept."""
    from videogen.io import VideoWriter

    out.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        place = out / f"drawing_{number:06}.mp4"
        if place.exists():
            continue
        partial = out / f".{place.stem}.partial.mp4"
        with VideoWriter(partial, spec.fps, spec.height, spec.width, QUALITY) as writer:
            writer.write(training_drawing(spec, seed, number).frames)
        partial.replace(place)
