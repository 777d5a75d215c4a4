"""Video through a tokenizer and back, chunk by chunk: any length in the memory of a few frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokenizer import VideoTokenizer
from videogen.io.pixels import to_clip, to_frames

Frames = NDArray[np.uint8]
AT_ONCE = 16  # frames; more is not faster, for the tokenizer goes latent frame by latent frame


@dataclass(frozen=True, eq=False)
class Piece:
    """Some frames in a row: what came in, what its tokens give back (both uint8 [T, H, W, C]), and the tokens."""

    originals: Tensor
    frames: Tensor
    codes_TNK: Tensor


@torch.no_grad()
def round_trip(tokenizer: VideoTokenizer, video: Iterable[Frames]) -> Iterator[Piece]:
    """Frames uint8 [H, W, C] of one size, as they come; what comes out is as long, and never waits for the end."""
    spec = None
    waiting: list[Tensor] = []
    encoder = decoder = None
    video = iter(video)
    while chunk := list(islice(video, AT_ONCE)):
        frames = torch.from_numpy(np.stack(chunk))
        spec = spec or tokenizer.spec(*frames.shape[1:3])
        waiting.append(frames)
        codes, encoder = tokenizer.encode(to_clip(frames[None].to(tokenizer.device)), encoder)
        clip, decoder = tokenizer.decode(codes, spec, decoder)
        originals = torch.cat(waiting)
        done = clip.shape[2]
        waiting = [originals[done:]]
        if done:
            yield Piece(originals[:done], to_frames(clip)[0].cpu(), codes[0].cpu())
    if spec is not None and len(waiting[0]):  # an unfinished group
        codes = tokenizer.encode_tail(encoder)
        clip, _ = tokenizer.decode(codes, spec, decoder)
        yield Piece(waiting[0], to_frames(clip)[0].cpu()[: len(waiting[0])], codes[0].cpu())
