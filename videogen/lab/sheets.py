"""Pictures: frames of a clip as a strip without loss, and sheets of the same clip in all variants."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videogen.io.contact_sheet import contact_sheet

FRAMES = "frames"  # the key in the PNG of a strip
CLIP, DETAILS = "clip_{}", "details"  # the names of strips: of a held-out clip, of the drawings of the measure `kept`


def picture_of(pictures: Path, name: str) -> Path:
    """Where a strip lies in a variant's folder of pictures."""
    return pictures / f"{name}.png"


def original_of(pictures: Path, name: str) -> Path:
    return pictures / f"{name}_original.png"


def save_strip(clip_THWC: NDArray[np.uint8], place: Path) -> None:
    """The frames side by side as a PNG, which says how many they are."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text(FRAMES, str(len(clip_THWC)))
    Image.fromarray(np.concatenate(list(clip_THWC), axis=1)).save(place, pnginfo=said)


def load_strip(place: Path) -> NDArray[np.uint8]:
    """The frames of a strip, uint8 [T, H, W, 3]; square ones, if it does not say how many they are."""
    from PIL import Image

    with Image.open(place) as image:
        frames = int(image.info.get(FRAMES, image.width // image.height))
        strip = np.asarray(image.convert("RGB"))
    return strip.reshape(strip.shape[0], frames, -1, 3).transpose(1, 0, 2, 3)


def save_sheet(strips: Sequence[Path], captions: Sequence[str], frames: int, place: Path) -> None:
    """A contact sheet: a row for each strip, with its caption."""
    contact_sheet([load_strip(strip) for strip in strips], captions, columns=frames).save(place, optimize=True)
