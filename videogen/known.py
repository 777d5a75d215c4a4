"""What a generation goes on from: a clip or a picture of anybody's, as the ids that the model knows."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from videogen.errors import DataError
from videogen.video import fit, stream

if TYPE_CHECKING:
    from torch import Tensor

    from videogen.models import PriorModel

Frames = NDArray[np.uint8]  # [T, H, W, 3]


def clip_as_seen(path: Path, fps: float, height: int, width: int, last: int | None = None) -> Frames:
    """A video file at a model's frame rate and size, or only its last so many pictures: what a model sees of it."""
    return resampled(stream(Path(path)), fps, height, width, last)


def resampled(video: Iterable[tuple[float, Frames]], fps: float, height: int, width: int, last: int | None) -> Frames:
    """Pictures with their seconds to those on screen at a steady rate, in the memory of the pictures that stay."""
    kept: list[Frames] = []
    number, before = 0, None
    for second, picture in video:
        while before is not None and number / fps < second - 1e-6:
            kept.append(before)
            number += 1
        before = fit(picture[None], height, width)[0]
        if last is not None:
            del kept[:-last]
    if before is None:
        raise DataError("a video without pictures; there is nothing to go on from")
    kept.append(before)
    return np.stack(kept if last is None else kept[-last:])


def ids_of_clip(model: "PriorModel", frames: Frames) -> "Tensor":
    """Ids [1, T', h, w] of the end of a clip, as much as the prior looks back: whole groups, ending with its last
    picture, so that what is made next follows without a seam."""
    f_t, window = model.tokenizer.config.f_t, model.network.window
    latent_frames = min(window, 1 + (len(frames) - 1) // f_t)
    return encoded(model, frames[-(1 + f_t * (latent_frames - 1)) :])


def ids_of_picture(model: "PriorModel", picture: Frames) -> "Tensor":
    """Ids [1, 1, h, w] of a picture [H, W, 3] as the first of a video."""
    return encoded(model, picture[None])


def encoded(model: "PriorModel", frames: Frames) -> "Tensor":
    import torch

    from videogen.pixels import to_clip

    device = next(model.tokenizer.network.parameters()).device
    with torch.no_grad():
        ids, _ = model.tokenizer.network.encode(to_clip(frames[None]).to(device))
    return ids


def as_frames(video: Any) -> Frames:
    """Bytes [T, H, W, 3] of what people hand over: arrays of bytes or of floats in [0, 1], tensors, PIL pictures."""
    if isinstance(video, np.ndarray) or hasattr(video, "detach"):
        frames = np.asarray(video.detach().cpu() if hasattr(video, "detach") else video)
    elif isinstance(video, Sequence) and video:
        frames = np.stack([np.asarray(each.convert("RGB") if hasattr(each, "convert") else each) for each in video])
    else:
        raise DataError(f"a video is an array, a tensor, or a list of pictures, not {type(video).__name__}")
    if frames.ndim != 4:
        raise DataError(f"a video has four dimensions, not {frames.ndim}: {list(frames.shape)}")
    if frames.shape[-1] != 3 and frames.shape[1] == 3:
        frames = frames.transpose(0, 2, 3, 1)  # channels first, as tensors have them
    if frames.shape[-1] != 3 or not frames.size:
        raise DataError(f"pictures have three channels and at least one pixel; these are {list(frames.shape)}")
    if frames.dtype == np.uint8:
        return np.ascontiguousarray(frames)
    if not np.issubdtype(frames.dtype, np.floating) or frames.min() < 0 or frames.max() > 1:
        raise DataError(f"pictures are bytes, or floats in [0, 1]; these are {frames.dtype} and reach beyond that")
    return np.ascontiguousarray((frames * 255).round().astype(np.uint8))
