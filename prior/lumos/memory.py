"""The KV cache of a stream: the prompt, and a ring of latent frames; keys are without their rotary positions.

Each layer has one buffer, `[prompt | ring of window + 1 frames]`, whose last free slot is that of the frame being
sampled. Frames have places: the oldest in the window has place 0, as in a clip.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.lumos.config import Lumos1Config
from prior.lumos.sequence import frame_length


class Lumos1Past(NamedTuple):
    """The KV cache of a batch of streams; `commit` and `advance` mutate it in place, `clone_tensors` copies it."""

    keys: tuple[Tensor, ...]  # one [B, K, M, D] for each layer
    values: tuple[Tensor, ...]
    given_BP: Tensor  # bool: where the prompt is no padding
    frames: Tensor  # int64 [], on the CPU: how many latent frames have been committed
    spec: TokenSpec


class Lumos1Present(NamedTuple):
    """A latent frame whose tokens are all known; `commit` runs it once more as later frames see it."""

    codes_BNK: Tensor


class FrameSlot(NamedTuple):
    """Where the keys of a latent frame are written, up to where it attends, and the places of the frames there."""

    start: int
    end: int
    visible: int
    place: int  # of the frame itself
    places: tuple[int, ...]  # of the frames in the slots


def frame_slot(config: Lumos1Config, frame: int, length: int) -> FrameSlot:
    """The slot of latent frame number `frame` of the stream, of `length` positions."""
    ring, place = config.window + 1, min(frame, config.window)
    places = tuple(place - (frame - slot) % ring for slot in range(place + 1))
    start = config.context_length + frame % ring * length
    return FrameSlot(start, start + length, config.context_length + len(places) * length, place, places)


def empty_past_of(config: Lumos1Config, batch: int, spec: TokenSpec, like: Tensor) -> Lumos1Past:
    """Buffers for the whole window, with the dtype and device of `like`; writable in and out of inference mode."""
    positions = config.context_length + (config.window + 1) * frame_length(spec.groups[0].shape)
    shape = (batch, config.kv_heads, positions, config.head_dim)
    with torch.inference_mode(False):
        keys, values = (tuple(like.new_zeros(shape) for _ in range(config.layers)) for _ in range(2))
        given_BP = torch.zeros(batch, config.context_length, dtype=torch.bool, device=like.device)
    return Lumos1Past(keys, values, given_BP, torch.tensor(0), spec)
