"""What each code looks like: a still latent frame filled with it, decoded.

Legend: V codes shown, N tokens of a latent frame, K codes of a token.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokenizer import decode_clip
from interfaces.tokens import TokenSpec
from videogen.evaluation.codebook.parts import CodebookPart
from videogen.io.pixels import to_frames
from videogen.models import TokenizerModel

TOKENS_A_SIDE = 4  # of the pictures, where the tokenizer takes frames so small
BATCH, COLUMNS, GAP = 64, 16, 4
FRAME, NEVER = 2, (200, 30, 30)  # pixels of the border of a code that is never used


@torch.no_grad()
def decode_codes(model: TokenizerModel, part: CodebookPart, entries_V: Tensor, others_K: Tensor) -> NDArray[np.uint8]:
    """A picture [V, H, W, 3] of each entry of the part; all other codes of a token are those of `others_K`."""
    spec = small_spec(model)
    codes_VK = others_K.long().repeat(len(entries_V), 1)
    codes_VK[:, part.places] = part.codes(entries_V)
    pictures = [decode_still(model, spec, codes) for codes in torch.split(codes_VK, BATCH)]
    return np.concatenate(pictures)


def decode_still(model: TokenizerModel, spec: TokenSpec, codes_BK: Tensor) -> NDArray[np.uint8]:
    """The last frame of a clip of a single latent frame."""
    codes_BTNK = codes_BK[:, None, None].expand(-1, 1, spec.tokens, -1).to(model.device)
    clip_BCTHW = decode_clip(model.network, codes_BTNK.contiguous(), spec)
    return to_frames(clip_BCTHW)[:, spec.first_frames - 1].cpu().numpy()


def small_spec(model: TokenizerModel) -> TokenSpec:
    side = TOKENS_A_SIDE * model.network.size_multiple
    try:
        return model.spec_of(min(side, model.clips.height), min(side, model.clips.width))
    except ValueError:  # a tokenizer for frames of one size
        return model.spec


def grid_of(pictures: NDArray[np.uint8], never_V: Tensor, scale: int) -> NDArray[np.uint8]:
    """Pictures in rows, uint8 [H, W, 3]; a red frame marks codes that are never used."""
    from videogen.io.contact_sheet import PAPER

    pictures = pictures.repeat(scale, axis=1).repeat(scale, axis=2)
    _, height, width, _ = pictures.shape
    columns = min(COLUMNS, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    grid = np.full((rows * (height + GAP), columns * (width + GAP), 3), PAPER, np.uint8)
    for number, (picture, never) in enumerate(zip(pictures, never_V.tolist(), strict=True)):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        grid[top : top + height, left : left + width] = framed(picture) if never else picture
    return grid


def framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    inside = np.zeros(picture.shape[:2], bool)
    inside[FRAME:-FRAME, FRAME:-FRAME] = True
    return np.where(inside[..., None], picture, np.array(NEVER, np.uint8))
