"""Reads words in pictures with RapidOCR, where it is installed (the extra `ocr`); its models are in the package."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reader = Callable[[NDArray[np.uint8]], str]  # a picture [H, W, 3] of one line of text
ENLARGED = 4  # times; readers are made for larger letters
LEFT_OUT = (
    "RapidOCR is not installed, so the measure `kept` leaves words out; install the extra: pip install -e '.[ocr]'"
)


def is_installed() -> bool:
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def open_reader() -> Reader:
    """Reads the line alone: nothing is searched for, and one thread gives the same text at every call."""
    from rapidocr import RapidOCR

    settings = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    engine: Any = RapidOCR(params=settings)

    def read(picture: NDArray[np.uint8]) -> str:
        out = engine(enlarged(picture)[..., ::-1], use_det=False, use_cls=False, use_rec=True)  # blue first
        return "".join(out.txts or ())

    return read


def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    height, width = picture.shape[:2]
    size = width * ENLARGED, height * ENLARGED
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def character_accuracy(read: str, word: str) -> float:
    """1 less the edits a letter that turn what was read into the word; at least 0. Case and spaces do not count."""
    return max(0.0, 1 - edit_distance("".join(read.upper().split()), word) / len(word))


def edit_distance(one: Sequence[object], other: Sequence[object]) -> int:
    """The fewest insertions, deletions and replacements."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row = row, [i]
        for j, right in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right)))
    return row[-1]
