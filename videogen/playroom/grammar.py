"""Captions from scenes, and scenes from captions; other text is refused.

A caption is a function of the scene and of a seed that chooses the words and their order. Words can be held out, to
evaluate a model on synonyms that it never saw in training.
"""

import functools
import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from videogen.errors import UsageError
from videogen.playroom.scene import COLOURS, GROUNDS, NEVER_SPIN, Backdrop, Scene, Thing

SHAPE_WORDS = {
    "circle": ("circle", "disc", "ball"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle", "wedge"),
    "ring": ("ring", "hoop", "loop"),
    "star": ("star", "five-pointed star"),
}
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized", "mid-sized"),
    "large": ("large", "big", "huge"),
}
MOTION_WORDS = {
    "left": ("drifts left", "moves left", "glides to the left", "slides to the left"),
    "right": ("drifts right", "moves right", "glides to the right", "slides to the right"),
    "up": ("drifts up", "moves up", "rises", "floats upwards"),
    "down": ("drifts down", "moves down", "sinks", "falls downwards"),
    "bounces": ("bounces", "bounces around", "bounces off the walls"),
    "circles": ("circles around", "goes around in circles", "orbits"),
    "spins": ("spins", "rotates", "turns on the spot"),
    "grows": ("grows", "gets bigger", "swells"),
    "shrinks": ("shrinks", "gets smaller", "dwindles"),
    "still": ("stays still", "stands still", "does not move", "rests"),
}
SPEED_WORDS = {"slowly": ("slowly", "gently"), "quickly": ("quickly", "fast", "rapidly")}
PATTERN_WORDS = {
    "plain": ("a {} background", "a plain {} background", "plain {}"),
    "gradient": ("a {} gradient", "a {} gradient background"),
    "checkered": ("a checkered {} background", "a {} checkerboard"),
}
OVER = ("over", "on", "in front of")
BEFORE_VERB = ("slowly", "gently", "quickly", "rapidly")  # "fast" comes after the verb only
ORDERS = ("{0} {over} {ground}", "{over} {ground}, {0}")
SHOWN = 80  # letters of a refused text in an error
ORDERS_OF_TWO = ("{0} {over} {ground} while {1}", "{0} while {1}, {over} {ground}", "{over} {ground}, {0} and {1}")


class OutsideWorldError(UsageError):
    """A text that is not a caption of the playroom."""


class ImpossibleSceneError(OutsideWorldError):
    """A caption in the playroom's words for something that it cannot show."""


def caption(scene: Scene, seed: int, held_out: Collection[str] = ()) -> str:
    """One of the many captions of a scene, without the `held_out` words and phrases."""
    rng = np.random.default_rng([seed, len(scene.things)])

    def pick(choices: Sequence[str]) -> str:
        allowed = [choice for choice in choices if choice not in held_out]
        if not allowed:
            raise UsageError(f"all of {', '.join(choices)} are held out; leave at least one")
        return allowed[int(rng.integers(len(allowed)))]

    phrases = [_describe_thing(thing, pick) for thing in scene.things]
    ground = pick(PATTERN_WORDS[scene.backdrop.pattern]).format(scene.backdrop.colour)
    order = pick(ORDERS if len(phrases) == 1 else ORDERS_OF_TWO)
    return order.format(*phrases, over=pick(OVER), ground=ground)


def _describe_thing(thing: Thing, pick: Callable[[Sequence[str]], str]) -> str:
    size, shape, motion = pick(SIZE_WORDS[thing.size]), pick(SHAPE_WORDS[thing.shape]), pick(MOTION_WORDS[thing.motion])
    if thing.speed is not None:
        speed = pick(SPEED_WORDS[thing.speed])
        before = speed in BEFORE_VERB and pick(("before the verb", "after it")) == "before the verb"
        motion = f"{speed} {motion}" if before else f"{motion} {speed}"
    return f"a {size} {thing.colour} {shape} {motion}"


def parse(text: str) -> Scene:
    """The scene that a caption describes; OutsideWorldError if it is not a caption of the playroom.

    The word for the speed may be missing; then the speed is None and is not scored.
    """
    plain = " ".join(text.lower().replace(".", " ").split())
    for pattern in _patterns():
        if (match := pattern.fullmatch(plain)) is not None:
            return _scene(match.groupdict())
    shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    raise OutsideWorldError(
        f"'{shown}' is outside the playroom, which knows one or two things such as "
        "'a small red ring drifts left slowly over a dark blue background'"
    )


def _scene(found: Mapping[str, str | None]) -> Scene:
    things = tuple(_thing(found, number) for number in ("0", "1") if found.get(f"colour{number}") is not None)
    if len(things) == 2 and things[0].colour == things[1].colour:
        raise ImpossibleSceneError(f"two {things[0].colour} things: in the playroom two things differ in colour")
    phrases = {name: found.get(name) for name in PATTERN_WORDS}
    pattern, colour = next((name, colour) for name, colour in phrases.items() if colour is not None)
    return Scene(things, Backdrop(pattern, colour))


def _thing(found: Mapping[str, str | None], number: str) -> Thing:
    shape, motion = _meaning(SHAPE_WORDS, found["shape" + number]), _meaning(MOTION_WORDS, found["motion" + number])
    before, after = found["before" + number], found["after" + number]
    if motion == "spins" and shape in NEVER_SPIN:
        raise ImpossibleSceneError(f"in the playroom no {shape} spins, because it would look the same")
    if (before and after) or (motion == "still" and (before or after)):
        raise ImpossibleSceneError(f"'{before or after}' is one word too many for '{found['motion' + number]}'")
    spoken = before or after
    speed = None if spoken is None else _meaning(SPEED_WORDS, spoken)
    return Thing(shape, str(found["colour" + number]), _meaning(SIZE_WORDS, found["size" + number]), motion, speed)


def _meaning(words: Mapping[str, Sequence[str]], spoken: str | None) -> str:
    return next(meaning for meaning, choices in words.items() if spoken in choices)


@functools.cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """One regular expression for each order of the sentence."""
    grounds = "|".join(GROUNDS)
    phrases = [
        phrase.format(f"(?P<{pattern}>{grounds})") for pattern, choices in PATTERN_WORDS.items() for phrase in choices
    ]
    over, first, second = f"(?:{'|'.join(OVER)})", _expression("0"), _expression("1")
    return tuple(
        re.compile(order.format(first, second, over=over, ground=phrase))
        for order, phrase in itertools.product((*ORDERS, *ORDERS_OF_TWO), phrases)
    )


def _expression(number: str) -> str:
    def one_of(words: Mapping[str, Sequence[str]]) -> str:
        return "|".join(sorted(itertools.chain(*words.values()), key=len, reverse=True))

    speeds = one_of(SPEED_WORDS)
    return (
        f"an? (?P<size{number}>{one_of(SIZE_WORDS)}) (?P<colour{number}>{'|'.join(COLOURS)}) "
        f"(?P<shape{number}>{one_of(SHAPE_WORDS)}) (?:(?P<before{number}>{speeds}) )?"
        f"(?P<motion{number}>{one_of(MOTION_WORDS)})(?: (?P<after{number}>{speeds}))?"
    )
