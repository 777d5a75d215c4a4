"""What a stream remembers: keys and values of the context, the sink frames, and a ring of the window's frames.

Each layer has one buffer, `[context | sinks | ring of window + 1 frames]`. The ring has a place for each latent frame
of the window and one for the frame being decided: proposals write there, where nothing is visible, so a proposal copies
nothing but its own keys, and memory is the same after one latent frame as after a million.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.config import PriorConfig


class Past(NamedTuple):
    """The KV cache of a batch of streams; `commit` and `advance` mutate it in place, `copied` keeps one."""

    keys: tuple[Tensor, ...]  # of each layer, [B, K, M, D]
    values: tuple[Tensor, ...]
    frames: Tensor  # int64 [], on the CPU: how many latent frames have been committed
    last: Tensor  # the last token in decode order [B, K]; without meaning while there are no frames
    spec: TokenSpec


class Present(NamedTuple):
    """The keys and values of one latent frame, of each layer [B, K, N, D], and its last token."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    last: Tensor


class CacheSlot(NamedTuple):
    """Where a latent frame's keys go, and how far the buffer is visible to it."""

    start: int
    end: int
    visible: int


def cache_slot(config: PriorConfig, frame: int, tokens: int) -> CacheSlot:
    """Of a latent frame of so many tokens, counted from the beginning of the stream."""
    ring = config.window + 1
    sink = frame < config.sink_frames
    place = frame if sink else config.sink_frames + (frame - config.sink_frames) % ring
    filled = min(frame + 1, config.sink_frames + ring)
    start = config.context_length + place * tokens
    return CacheSlot(start, start + tokens, config.context_length + filled * tokens)


def empty_past(config: PriorConfig, batch: int, spec: TokenSpec, like: Tensor) -> Past:
    """Room for the whole window, with the type and device of `like`; writable in and out of inference mode."""
    rows = config.context_length + (config.sink_frames + config.window + 1) * spec.tokens
    shape = (batch, config.kv_heads, rows, config.head_dim)
    with torch.inference_mode(False):
        keys, values = (tuple(like.new_zeros(shape) for _ in range(config.layers)) for _ in range(2))
    return Past(keys, values, torch.tensor(0), spec.empty(batch, 1, like.device)[:, 0, -1].clone(), spec)


def copied(past: Past) -> Past:
    """A copy; the original may go on."""
    keys, values = (tuple(each.clone() for each in part) for part in (past.keys, past.values))
    return Past(keys, values, past.frames.clone(), past.last.clone(), past.spec)
