"""The KV cache of a stream: keys and values of the context, and a ring buffer of the window.

Each layer has one buffer, `[context | ring of window + 1 frames]`. The ring has a slot for each latent frame of
the window and one for the frame being sampled, where proposals write their keys. Its size does not grow with the
stream.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.config import PriorConfig


class Past(NamedTuple):
    """The KV cache of a batch of streams; `commit` and `advance` mutate it in place, `clone_tensors` copies it."""

    keys: tuple[Tensor, ...]  # one [B, K, M, D] for each layer
    values: tuple[Tensor, ...]
    frames: Tensor  # int64 [], on the CPU: how many latent frames have been committed
    last: Tensor  # the last token in decode order [B, K]; meaningless while there are no frames
    spec: TokenSpec
    mask_noise: Tensor | None = None  # [B, N, R] of the next latent frame


class Present(NamedTuple):
    """The keys and values of one latent frame, [B, K, N, D] for each layer, and its last token."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    last: Tensor


class CacheSlot(NamedTuple):
    """Where the keys of a latent frame are written, and up to where it attends to the buffer."""

    start: int
    end: int
    visible: int


def cache_slot(config: PriorConfig, frame: int, tokens: int) -> CacheSlot:
    """The slot of latent frame number `frame` of the stream, which has `tokens` tokens."""
    ring = config.window + 1
    filled = min(frame + 1, ring)
    start = config.context_length + frame % ring * tokens
    return CacheSlot(start, start + tokens, config.context_length + filled * tokens)


def empty_past(config: PriorConfig, batch: int, spec: TokenSpec, like: Tensor) -> Past:
    """Buffers for the whole window, with the dtype and device of `like`; writable in and out of inference mode."""
    rows = config.context_length + (config.window + 1) * spec.tokens
    shape = (batch, config.kv_heads, rows, config.head_dim)
    with torch.inference_mode(False):
        keys, values = (tuple(like.new_zeros(shape) for _ in range(config.layers)) for _ in range(2))
    return Past(keys, values, torch.tensor(0), spec.empty(batch, 1, like.device)[:, 0, -1].clone(), spec)
