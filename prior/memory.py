"""What a stream remembers: keys and values of the context, the sink frames, and a ring of the window's frames.

Everything lies in one buffer a layer, `[context | sinks | ring of window + 1 frames]`. The ring has a place for each
frame of the window and one for the frame being decided: proposals write there, where nothing is visible any more, so a
proposal copies nothing but its own keys, and memory is the same after one frame as after a million.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from prior.config import PriorConfig


class Past(NamedTuple):
    """A plain nested tuple of tensors: it can be saved, sent and loaded. `commit` uses it up; `copied` keeps one."""

    keys: tuple[Tensor, ...]  # of each layer, [B, K, M, D]
    values: tuple[Tensor, ...]
    frames: Tensor  # int64 [], on the CPU: how many have been committed
    grid: Tensor  # int64 [2], on the CPU: height and width of a latent frame
    last_B: Tensor  # int64, the last token so far in raster order; -1: none


class Present(NamedTuple):
    """The keys and values of one frame, of each layer [B, K, N, D], and its last token."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    last_B: Tensor


class Spot(NamedTuple):
    """Where a frame's keys go, and how far the buffer is visible to it."""

    start: int
    end: int
    visible: int


def spot(config: PriorConfig, frame: int, tokens: int) -> Spot:
    """Of a frame of so many tokens, counted from the beginning of the stream."""
    ring = config.window + 1
    sink = frame < config.sink_frames
    place = frame if sink else config.sink_frames + (frame - config.sink_frames) % ring
    filled = min(frame + 1, config.sink_frames + ring)
    start = config.context_length + place * tokens
    return Spot(start, start + tokens, config.context_length + filled * tokens)


def empty_past(config: PriorConfig, batch: int, grid: tuple[int, int], like: Tensor) -> Past:
    """Room for the whole window; of the kind and on the device of `like`, written to in and out of inference mode."""
    rows = config.context_length + (config.sink_frames + config.window + 1) * grid[0] * grid[1]
    shape = (batch, config.kv_heads, rows, config.channels_a_head)
    with torch.inference_mode(False):
        keys, values = (tuple(like.new_zeros(shape) for _ in range(config.layers)) for _ in range(2))
    last_B = torch.full((batch,), -1, dtype=torch.int64, device=like.device)
    return Past(keys, values, torch.tensor(0), torch.tensor(grid), last_B)


def copied(past: Past) -> Past:
    """The same past, to be kept while the other goes on."""
    keys, values = (tuple(each.clone() for each in part) for part in (past.keys, past.values))
    return Past(keys, values, past.frames.clone(), past.grid.clone(), past.last_B.clone())
