"""What people hand to a pipeline and get from it, one kind of argument at a time."""

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from videogen.errors import UsageError
from videogen.known import Known

if TYPE_CHECKING:
    from torch import Tensor

    from videogen.generate import Made

OutputType = Literal["np", "pt", "pil", "uint8", "ids"]
Prompts = str | Sequence[str]
Seeds = Any  # a number, a torch.Generator, or one of these for each video; None draws from torch's own generator
DRAWN_SEEDS = 2**32  # few enough digits to be typed again


def output(known: Known, made: "list[Made]", wanted: int, kind: OutputType) -> Any:
    import torch

    if kind == "ids":
        beginning = [known.ids_BThw] if known.pictures.shape[1] else []
        none = known.ids_BThw[:, :0]
        return torch.cat([none, *beginning, *(one.ids_Bhw.unsqueeze(1) for one in made)], 1)
    return as_asked(torch.cat([known.pictures, *(one.pictures for one in made)], 1)[:, :wanted].cpu(), kind)


def as_asked(pictures_NTHWC: "Tensor", kind: OutputType) -> Any:
    frames: NDArray[np.uint8] = pictures_NTHWC.numpy()
    if kind == "uint8":
        return frames
    if kind == "pil":
        from PIL import Image

        return [[Image.fromarray(picture) for picture in video] for video in frames]
    if kind == "pt":
        return pictures_NTHWC.permute(0, 1, 4, 2, 3).float() / 255
    return frames.astype(np.float32) / 255


def worded(name: str, words: Any) -> tuple[str, ...]:
    """One text or several, as several."""
    given = (words,) if isinstance(words, str) else tuple(words) if isinstance(words, Iterable) else (words,)
    if not all(isinstance(each, str) for each in given):
        raise UsageError(f"{name} is {str(words)[:80]}; give a text, or a list of texts")
    return given


def whole(name: str, number: Any) -> int:
    try:
        return operator.index(number)
    except TypeError:
        raise UsageError(f"{name} is {number}; it must be a whole number") from None


def listed(words: Prompts, count: int) -> tuple[str, ...]:
    given = (words,) * count if isinstance(words, str) else worded("negative_prompt", words)
    if len(given) != count:
        raise UsageError(f"{len(given)} negative prompts for {count} prompts; give one, or one each")
    return given


def seeds_from(generator: Seeds, count: int) -> tuple[int, ...]:
    """A seed for each video: numbers are taken as they are, one number counts up, generators are drawn from."""
    import torch

    if generator is None or isinstance(generator, torch.Generator):
        device = None if generator is None else generator.device
        return tuple(torch.randint(DRAWN_SEEDS, (count,), generator=generator, device=device).tolist())
    if is_number(generator):
        return tuple(operator.index(generator) + number for number in range(count))
    if isinstance(generator, str) or not isinstance(generator, Iterable):
        raise UsageError(f"generator is {generator}; give a whole number, a torch.Generator, or one of these a video")
    each = tuple(generator)
    if len(each) != count:
        raise UsageError(f"{len(each)} generators or seeds for {count} videos; give one, or one each")
    return tuple(seeds_from(one, 1)[0] for one in each)


def is_number(value: Any) -> bool:
    """A whole one; arrays have an `__index__` too, and refuse it if they hold several."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True
