"""Rotary positions of Lumos-1, which its authors call MM-RoPE.

The positions of a picture, line ends included, are a place in a video: (t, y, x), in frames and pixels of a tokenizer
of 4 x 8 x 8, from the first place of the first picture on. All others are numbered in the order of the sequence, and
rotate all pairs of channels by their number. Number 0 is the start of the video, and text has negative numbers: scores
depend on differences alone, so rows with texts of different lengths have the same positions.
"""

import functools

import torch
from torch import Tensor

from prior.lumos.config import Lumos1Config
from prior.lumos.sequence import START_LENGTH, frame_length
from prior.rotary import RotaryCache, concat_rotary, rotary_at

STEPS = (4, 8, 8)  # of a position, from a token to the next one in t, y and x
PATTERN = (0, 0, 0, 0, 1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2)  # the axis of each of 16 pairs of channels, then again
FIRST_PLACE = 2 * START_LENGTH  # after the start of the video and that of the first frame


def prompt_rotary(config: Lumos1Config, device: torch.device) -> RotaryCache:
    """That of all positions before the first frame."""
    numbers_P = torch.arange(config.context_length, device=device) - (config.context_length - START_LENGTH)
    return rotary_at(numbers_P[:, None].expand(-1, config.head_dim // 2), config.head_dim, config.theta)


def frame_rotary_of(config: Lumos1Config, place: int, shape: tuple[int, ...], device: torch.device) -> RotaryCache:
    """That of latent frame number `place` of a clip."""
    places_FD = frame_places(place, shape, config.head_dim // 2, device)
    return rotary_at(places_FD, config.head_dim, config.theta)


def frame_places(place: int, shape: tuple[int, ...], pairs: int, device: torch.device) -> Tensor:
    """int64 [F, D / 2]: the position of each position of a latent frame, for each pair of channels."""
    length = frame_length(shape)
    numbers_F = START_LENGTH + place * length + torch.arange(length, device=device)
    places_FD = numbers_F[:, None].repeat(1, pairs)
    y, x = (torch.arange(count, device=device) for count in (shape[0], shape[1] + 1))
    grid = torch.stack(torch.meshgrid(torch.tensor([place], device=device), y, x, indexing="ij"), -1).flatten(0, 2)
    video_N3 = FIRST_PLACE + grid * torch.tensor(STEPS, device=device)
    axes_D = torch.tensor(PATTERN, device=device).repeat(-(-pairs // len(PATTERN)))[:pairs]
    places_FD[START_LENGTH:-1] = video_N3[:, axes_D]
    return places_FD


@functools.lru_cache(maxsize=8)
def cached_rotary(
    config: Lumos1Config, places: tuple[int, ...], shape: tuple[int, ...], device: torch.device
) -> RotaryCache:
    """That of the prompt and of latent frames at these places; cached, because all proposals of a frame need it."""
    with torch.inference_mode(False):
        frames = [frame_rotary_of(config, place, shape, device) for place in places]
        return concat_rotary([prompt_rotary(config, device), *frames])
