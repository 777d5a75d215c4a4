"""What a generation goes on from: a clip or a picture of anybody's, as the ids that the model knows."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from videogen.errors import DataError
from videogen.io import Scan, fit, frames_at, over_black, read_along

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from videogen.models import PriorModel

Frames = NDArray[np.uint8]  # [T, H, W, 3]
STILLS = (".png", ".jpg", ".jpeg", ".webp")


class Known(NamedTuple):
    """What is known of each of B videos before anything is made."""

    ids_BThw: "Tensor"  # int64 [B, T', h, w]; of nothing, T' is 0 and the grid that of what is to be made
    pictures: "Tensor"  # uint8 [B, 0 or 1, H, W, 3]: the image that a video begins with, as its ids give it back
    psnr: float | None = None  # dB, of what the ids give back of a clip or an image; None: it was not looked at

    def of(self, videos: int) -> "Known":
        """Of one video, or of these, the same for so many."""
        ids_BThw, pictures = (each[:1].expand(videos, *each.shape[1:]) for each in (self.ids_BThw, self.pictures))
        return self._replace(ids_BThw=ids_BThw, pictures=pictures)


def nothing(model: "PriorModel", videos: int, grid: tuple[int, int]) -> Known:
    from videogen.generate import nothing_known

    return Known(nothing_known(model, videos, grid), no_pictures(model, videos, grid))


def clip_known(model: "PriorModel", frames: Frames, videos: int = 1) -> Known:
    """A clip of the right size, to be followed by what comes next: of its end, as much as the prior looks back at.

    The groups are whole and the last one ends with its last picture, so that there is no seam.
    """
    latent_frames = min(looks_back(model), 1 + (len(frames) - 1) // model.tokenizer.config.f_t)
    frames = frames[-model.tokenizer.config.video_frames(latent_frames) :]
    ids = encoded(model, frames)
    psnr = psnr_of(frames, decoded(model, ids)) if has_reference_psnr(model) else None
    return Known(ids.expand(videos, -1, -1, -1), no_pictures(model, videos, (ids.shape[2], ids.shape[3])), psnr)


def picture_known(model: "PriorModel", picture: Frames, videos: int = 1) -> Known:
    """A picture [H, W, 3] of the right size as the first of a video, which shows what its ids give back."""
    ids = encoded(model, picture[None])
    shown = decoded(model, ids)
    psnr = psnr_of(picture[None], shown) if has_reference_psnr(model) else None
    return Known(ids.expand(videos, -1, -1, -1), shown.expand(videos, -1, -1, -1, -1), psnr)


def has_reference_psnr(model: "PriorModel") -> bool:
    """Whether the model says how well its tokens hold what it knows, so that other clips can be told from it."""
    return model.prompt_vocabulary is not None and model.prompt_vocabulary.lowest_psnr is not None


def decoded(model: "PriorModel", ids_1Thw: "Tensor") -> "Tensor":
    """Pictures uint8 [1, T, H, W, 3]."""
    import torch

    from videogen.pixels import to_frames

    with torch.no_grad():
        return to_frames(model.tokenizer.network.decode(ids_1Thw)[0])


def psnr_of(frames: Frames, shown_1THWC: "Tensor") -> float:
    error = (shown_1THWC[0].cpu().numpy().astype(np.float64) - frames) ** 2
    return float(10 * np.log10(255.0**2 / max(float(error.mean()), 1e-6)))


def looks_back(model: "PriorModel") -> int:
    """At how many latent frames the prior looks when there are enough: the sink's, and the window's."""
    return model.config.sink_frames + model.config.window


def pictures_of_use(model: "PriorModel") -> int:
    """How many pictures of a clip decide what follows it, at the model's frame rate."""
    return model.tokenizer.config.video_frames(looks_back(model))


def encoded(model: "PriorModel", frames: Frames) -> "Tensor":
    import torch

    from videogen.pixels import to_clip

    device = next(model.tokenizer.network.parameters()).device
    with torch.no_grad():
        ids, _ = model.tokenizer.network.encode(to_clip(frames[None]).to(device))
    return ids


def no_pictures(model: "PriorModel", videos: int, grid: tuple[int, int]) -> "Tensor":
    import torch

    f_s = model.tokenizer.config.f_s
    device = next(model.tokenizer.network.parameters()).device
    return torch.zeros(videos, 0, grid[0] * f_s, grid[1] * f_s, 3, dtype=torch.uint8, device=device)


def numbers_seen(seen: Scan, fps: float) -> NDArray[np.int64]:
    """Of a video's frames, those on screen at a steady rate, counted from the end: the last one is always the last.

    A frame is looked at half a period after it has appeared, never at the edge, as in training.
    """
    seconds = seen.seconds
    period = float(seconds[-1]) / (len(seconds) - 1) if len(seconds) > 1 else 0.0
    latest = float(seconds[-1]) + period - min(period, 1 / fps) / 2
    looks = latest - np.arange(math.floor(latest * fps + 1e-6) + 1) / fps
    return frames_at(seconds, looks[::-1])


def clip_as_seen(
    path: Path, seen: Scan, fps: float, height: int, width: int, last: int | None = None
) -> Iterator[Frames]:
    """The pictures [H, W, 3] of a video file at a model's frame rate and size, or only the last so many of them."""
    numbers = numbers_seen(seen, fps)[-last if last else None :]
    for picture in read_along(path, numbers.tolist(), seen):
        yield fit(picture[None], height, width)[0]


def stills_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names, each read once: DataError if there are none,
    or one is damaged or of another size."""
    visible = (place for place in folder.iterdir() if place.suffix.lower() in STILLS and not place.name.startswith("."))
    stills = sorted(visible, key=lambda place: [int(part) if part.isdigit() else part for part in parts_of(place.name)])
    if not stills:
        raise DataError(f"{folder}: no pictures in it; a clip is a video file, or a folder of {', '.join(STILLS)}")
    shape = load_image(stills[0]).shape
    for still in stills:
        height, width, _ = found = load_image(still).shape
        if found != shape:
            raise DataError(f"{still}: {height} x {width}, those before are {shape[0]} x {shape[1]}")
    return stills


def parts_of(name: str) -> list[str]:
    """Words and numbers in turn, a word first: such lists can be compared."""
    return re.split(r"(\d+)", name)


def stills_as_seen(stills: Sequence[Path], height: int, width: int, last: int | None = None) -> Iterator[Frames]:
    """The pictures [H, W, 3] of these files at a model's size, or only the last so many of them."""
    for still in stills[-last if last else None :]:
        yield fit(load_image(still)[None], height, width)[0]


def load_image(path: Path) -> Frames:
    """A picture file as uint8 [H, W, 3], turned as it is meant to be seen; DataError if it is none."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return as_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a picture that can be read ({str(error).splitlines()[0]})") from None


def as_rgb(image: "Image") -> Frames:
    """A picture of PIL's as bytes [H, W, 3]; of 16 bits of grey the upper 8, where PIL's own way makes most white."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        return over_black(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def as_picture(image: Any) -> Frames:
    """Bytes [1, H, W, 3] of one picture, as an array, a tensor or of PIL."""
    picture = as_array(image)
    if picture.ndim != 3:
        raise DataError(f"an image has three dimensions, not {picture.ndim}: {list(picture.shape)}")
    return as_frames(picture[None])


def as_frames(video: Any) -> Frames:
    """Bytes [T, H, W, 3] of what people hand over: arrays of bytes or of floats in [0, 1], tensors, PIL pictures."""
    if isinstance(video, np.ndarray) or hasattr(video, "detach"):
        frames = as_array(video)
    elif isinstance(video, Sequence) and not isinstance(video, str | bytes) and video:
        pictures = [as_array(picture) for picture in video]
        if len(sizes := {picture.shape for picture in pictures}) > 1:
            raise DataError(f"pictures of a video are all of one size; these are {', '.join(map(str, sorted(sizes)))}")
        frames = np.stack(pictures)
    else:
        raise DataError(f"a video is an array, a tensor, or a list of pictures, not {type(video).__name__}")
    if frames.ndim != 4:
        raise DataError(f"a video has four dimensions, not {frames.ndim}: {list(frames.shape)}")
    if frames.shape[-1] != 3 and frames.shape[1] == 3:
        frames = frames.transpose(0, 2, 3, 1)  # channels first, as tensors have them
    if frames.shape[-1] != 3 or not frames.size:
        raise DataError(f"pictures have three channels and at least one pixel; these are {list(frames.shape)}")
    if frames.dtype == np.uint8:
        return np.require(frames, requirements=["C", "W"])
    if not np.issubdtype(frames.dtype, np.floating) or not (frames.min() >= 0 and frames.max() <= 1):
        raise DataError(f"pictures are bytes, or floats in [0, 1]; these are {frames.dtype} and reach beyond that")
    return np.ascontiguousarray((frames * 255).round().astype(np.uint8))


def as_array(picture: Any) -> NDArray[Any]:
    if hasattr(picture, "convert"):  # of PIL
        return as_rgb(picture)
    if hasattr(picture, "detach"):
        tensor = picture.detach().cpu()
        return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)  # NumPy knows no bfloat16
    return np.asarray(picture)
