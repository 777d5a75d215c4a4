"""Converts between frames as bytes and clips in [-1, 1]; the same for training and generation."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_clip(frames_BTHWC: Tensor | NDArray[np.uint8]) -> Tensor:
    """uint8 [B, T, H, W, C] -> float32 [B, C, T, H, W] in [-1, 1]."""
    frames = torch.from_numpy(frames_BTHWC) if isinstance(frames_BTHWC, np.ndarray) else frames_BTHWC
    assert frames.dtype == torch.uint8, f"frames are bytes, not {frames.dtype}"
    return frames.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)


def to_frames(clip_BCTHW: Tensor) -> Tensor:
    """float [B, C, T, H, W] in [-1, 1] (clamped) -> uint8 [B, T, H, W, C], rounded to the nearest byte."""
    bytes_BCTHW = clip_BCTHW.detach().float().clamp(-1, 1).add(1).mul_(127.5).round_().to(torch.uint8)
    return bytes_BCTHW.permute(0, 2, 3, 4, 1).contiguous()
