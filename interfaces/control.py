"""The control of latent frames: int64 [B, ...] for actions, float [B, ..., d] for d numbers; absent is -1, or NaN."""

import math

import torch
from torch import Tensor


def absent_value(control: Tensor) -> float:
    """What stands for "no control" in a tensor of this kind."""
    return math.nan if control.is_floating_point() else -1


def absent_frames(like_BT: Tensor, latent_frames: int) -> Tensor:
    """No control in so many latent frames, for the samples of `like_BT`."""
    return like_BT.new_full((len(like_BT), latent_frames, *like_BT.shape[2:]), absent_value(like_BT))


def absent_like(control: Tensor) -> Tensor:
    """No control, in the shape and dtype of `control`."""
    return torch.full_like(control, absent_value(control))


def drop_control(control_BT: Tensor, dropped_B: Tensor) -> Tensor:
    """The control with all latent frames of some samples absent; `dropped_B` is bool [B]."""
    dropped_B = dropped_B.view(-1, *(1,) * (control_BT.ndim - 1))
    return torch.where(dropped_B, absent_like(control_BT), control_BT)
