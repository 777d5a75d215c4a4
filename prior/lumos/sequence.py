"""The sequence that Lumos-1 reads, as ids:

    text | video start, seconds, fps | frame | frame | ...          no text: it begins with the video start
    frame:  frame start, height, width | row, line end | row, line end | ... | frame end

A picture is all rows with their line ends. Counts are ids too: seconds, fps, and sizes in units of 4 tokens. Ids of the
tokens of a video follow those of text, with the first code of a token varying fastest.

Legend: N tokens of a latent frame, F positions of a latent frame, P positions before the first frame.
"""

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import Text

FRAME_END, FRAME_START, LINE_END, COUNT, MASK, VIDEO_START = 8196, 8197, 8803, 8804, 9003, 9004  # COUNT + n is n
LARGEST_COUNT = MASK - COUNT - 1
SIZE_UNIT = 4  # tokens, in each direction
START_LENGTH = 3  # positions of the start of a video, and of the start of a frame


def frame_length(shape: tuple[int, ...]) -> int:
    """F, for rows and columns of tokens."""
    rows, columns = shape
    return START_LENGTH + rows * (columns + 1) + 1


class FrameLayout(NamedTuple):
    """A latent frame of one size."""

    ids_F: Tensor  # of the frame with all tokens masked
    places_N: Tensor  # int64: where the tokens are
    hidden_F: Tensor  # bool: what later frames do not see


class Prompt(NamedTuple):
    """What comes before the first frame, padded on the left so that all rows end together."""

    ids_BP: Tensor
    given_BP: Tensor  # bool: no padding


@functools.lru_cache(maxsize=16)
def frame_layout(shape: tuple[int, ...], history_mask: float, device: torch.device) -> FrameLayout:
    rows, columns = shape
    with torch.inference_mode(False):
        picture = torch.full((rows, columns + 1), MASK, device=device)
        picture[:, -1] = LINE_END
        start = torch.tensor([FRAME_START, COUNT + rows // SIZE_UNIT, COUNT + columns // SIZE_UNIT], device=device)
        ids_F = torch.cat([start, picture.flatten(), torch.tensor([FRAME_END], device=device)])
        hidden_F = torch.zeros(len(ids_F), dtype=torch.bool, device=device)
        hidden_F[START_LENGTH:-1] = evenly_spaced(picture.numel(), history_mask, device)
        return FrameLayout(ids_F, (ids_F == MASK).nonzero().flatten(), hidden_F)


def evenly_spaced(length: int, share: float, device: torch.device) -> Tensor:
    """bool [length]: this share of the positions of a picture, line ends included, from the first one on.

    The pattern of every frame is the same, as the masks of training were. Positions are rounded in float32 as they were
    when the model was published.
    """
    chosen = torch.zeros(length, dtype=torch.bool, device=device)
    if count := round(share * length):
        chosen[(torch.arange(count, device=device) * (length / count)).round().long().clamp_max(length - 1)] = True
    return chosen


def frame_ids(layout: FrameLayout, tokens_N: Tensor, known_N: Tensor) -> Tensor:
    """Latent frames [..., F] with these ids of tokens [..., N], those that are known."""
    ids_F = layout.ids_F.expand(*tokens_N.shape[:-1], -1).clone()
    ids_F[..., layout.places_N] = torch.where(known_N, tokens_N, MASK)
    return ids_F


def history_ids(layout: FrameLayout, tokens_N: Tensor) -> Tensor:
    """Latent frames [..., F] as later ones see them."""
    return frame_ids(layout, tokens_N, torch.ones_like(tokens_N, dtype=torch.bool)).masked_fill(layout.hidden_F, MASK)


def prompt_of(text: Text, seconds: int, fps: int) -> Prompt:
    """A row without text begins with the start of the video."""
    right = text.mask.byte().argsort(dim=1, stable=True)
    start_3 = torch.tensor([VIDEO_START, COUNT + seconds, COUNT + fps], device=right.device)
    ids_BP = torch.cat([text.content.gather(1, right), start_3.expand(len(right), -1)], 1)
    given_BP = torch.cat([text.mask.gather(1, right), torch.ones_like(ids_BP[:, -START_LENGTH:]).bool()], 1)
    return Prompt(ids_BP, given_BP)
