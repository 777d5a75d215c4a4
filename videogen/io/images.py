"""Images and clips from files, folders of images, arrays and tensors, as uint8 [T, H, W, 3]."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from videogen.errors import DataError
from videogen.io.reader.random_access import read_along
from videogen.io.reader.scan import Scan
from videogen.io.resample import composite_on_black, fit, frames_at

if TYPE_CHECKING:
    from PIL.Image import Image

Frames = NDArray[np.uint8]  # [T, H, W, 3]
STILLS = (".png", ".jpg", ".jpeg", ".webp")


def numbers_from_end(seen: Scan, fps: float) -> NDArray[np.int64]:
    """The numbers of the frames on screen at a constant rate, counted from the end so that the last frame is included.

    Times are half a period after a frame has appeared, never at the boundary, as in training.
    """
    seconds = seen.seconds
    period = float(seconds[-1]) / (len(seconds) - 1) if len(seconds) > 1 else 0.0
    latest = float(seconds[-1]) + period - min(period, 1 / fps) / 2
    times = latest - np.arange(math.floor(latest * fps + 1e-6) + 1) / fps
    return frames_at(seconds, times[::-1])


def clip_frames(
    path: Path, seen: Scan, fps: float, height: int, width: int, last: int | None = None
) -> Iterator[Frames]:
    """The frames [H, W, 3] of a video file at a model's frame rate and size, or only the last so many of them."""
    numbers = numbers_from_end(seen, fps)[-last if last else None :]
    for frame in read_along(path, numbers.tolist(), seen):
        yield fit(frame[None], height, width)[0]


def stills_in(folder: Path) -> list[Path]:
    """The images of a folder in the order of the numbers in their names; each is read once to check it.

    DataError if there are none, or if one is damaged or of another size.
    """
    visible = (place for place in folder.iterdir() if place.suffix.lower() in STILLS and not place.name.startswith("."))
    stills = sorted(visible, key=lambda place: [int(part) if part.isdigit() else part for part in parts_of(place.name)])
    if not stills:
        raise DataError(f"{folder}: no images in it; a clip is a video file, or a folder of {', '.join(STILLS)}")
    shape = load_image(stills[0]).shape
    for still in stills:
        height, width, _ = found = load_image(still).shape
        if found != shape:
            raise DataError(f"{still}: {height} x {width}, those before are {shape[0]} x {shape[1]}")
    return stills


def parts_of(name: str) -> list[str]:
    """Words and numbers in turn, beginning with a word, so that these lists can be compared."""
    return re.split(r"(\d+)", name)


def still_frames(stills: Sequence[Path], height: int, width: int, last: int | None = None) -> Iterator[Frames]:
    """These images [H, W, 3] at a model's size, or only the last so many of them."""
    for still in stills[-last if last else None :]:
        yield fit(load_image(still)[None], height, width)[0]


def load_image(path: Path) -> Frames:
    """An image file as uint8 [H, W, 3], rotated as its metadata say; DataError if it cannot be read."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not an image that can be read ({str(error).splitlines()[0]})") from None


def as_rgb(image: "Image") -> Frames:
    """A PIL image as uint8 [H, W, 3]; of 16-bit gray the upper 8 bits, because PIL clips it to white."""
    if image.mode.startswith("I;16"):
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        return composite_on_black(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def as_image(image: Any) -> Frames:
    """One image as uint8 [1, H, W, 3]: an array, a tensor or a PIL image."""
    array = as_array(image)
    if array.ndim != 3:
        raise DataError(f"an image has three dimensions, not {array.ndim}: {list(array.shape)}")
    return as_frames(array[None])


def as_frames(video: Any) -> Frames:
    """A video as uint8 [T, H, W, 3]: an array or tensor of bytes or of floats in [0, 1], or a list of images."""
    if isinstance(video, np.ndarray) or hasattr(video, "detach"):
        frames = as_array(video)
    elif isinstance(video, Sequence) and not isinstance(video, str | bytes) and video:
        images = [as_array(image) for image in video]
        if len(sizes := {image.shape for image in images}) > 1:
            raise DataError(f"frames of a video are all of one size; these are {', '.join(map(str, sorted(sizes)))}")
        frames = np.stack(images)
    else:
        raise DataError(f"a video is an array, a tensor, or a list of images, not {type(video).__name__}")
    if frames.ndim != 4:
        raise DataError(f"a video has four dimensions, not {frames.ndim}: {list(frames.shape)}")
    if frames.shape[-1] != 3 and frames.shape[1] == 3:
        frames = frames.transpose(0, 2, 3, 1)  # from channels first
    if frames.shape[-1] != 3 or not frames.size:
        raise DataError(f"frames have three channels and at least one pixel; these are {list(frames.shape)}")
    if frames.dtype == np.uint8:
        return np.require(frames, requirements=["C", "W"])
    if not np.issubdtype(frames.dtype, np.floating) or not (frames.min() >= 0 and frames.max() <= 1):
        raise DataError(f"frames are bytes, or floats in [0, 1]; these are {frames.dtype} and reach beyond that")
    return np.ascontiguousarray((frames * 255).round().astype(np.uint8))


def as_array(image: Any) -> NDArray[Any]:
    if hasattr(image, "convert"):  # a PIL image
        return as_rgb(image)
    if hasattr(image, "detach"):
        tensor = image.detach().cpu()
        return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)  # NumPy has no bfloat16
    return np.asarray(image)
