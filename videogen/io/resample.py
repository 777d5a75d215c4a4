"""Which frame is on screen at a time, and frames scaled and cropped to a size."""

import numpy as np
from numpy.typing import NDArray


def frames_at(shown: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of the frame on screen at each wanted second: the last one `shown` by then, at least 0.

    Frame rates may vary. A tolerance of a microsecond absorbs the rounding of times such as 1/30.
    """
    return np.maximum(np.searchsorted(shown, wanted + 1e-6, side="right") - 1, 0).astype(np.int64)


def composite_on_black(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 RGBA [..., 4] composed onto black, [..., 3]."""
    wide = rgba.astype(np.uint16)
    return ((wide[..., :3] * wide[..., 3:] + 127) // 255).astype(np.uint8)


def fit(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8 [T, H, W, 3] to [T, height, width, 3]: scaled to cover, antialiased, cropped at the center."""
    import torch
    from torch.nn import functional

    _, rows, columns, _ = frames.shape
    if (rows, columns) == (height, width):
        return frames
    scale = max(height / rows, width / columns)
    size = (max(height, round(rows * scale)), max(width, round(columns * scale)))
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)  # channels last, no copy
    scaled = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    cropped = scaled[:, :, top : top + height, left : left + width]
    return np.ascontiguousarray(cropped.permute(0, 2, 3, 1).numpy())
