"""Encodes and decodes a video chunk by chunk, in constant memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokenizer import State, VideoTokenizer
from videogen.io.pixels import to_clip, to_frames

Frames = NDArray[np.uint8]
CHUNK_FRAMES = 16  # more is not faster: the tokenizer processes one latent frame after the other


@dataclass(frozen=True, eq=False)
class ReconstructedChunk:
    """Consecutive frames: the originals and their reconstruction (both uint8 [T, H, W, C]), and the codes."""

    originals: Tensor
    frames: Tensor
    codes_TNK: Tensor


@torch.no_grad()
def round_trip(
    tokenizer: VideoTokenizer, video: Iterable[Frames], decoder: State = None
) -> Iterator[ReconstructedChunk]:
    """Reconstructs frames uint8 [H, W, C] of one size; yields as many frames, with little delay.

    `decoder` is the state of the decoder before the first frame, for one that is given a caption.
    """
    spec = None
    waiting: list[Tensor] = []
    encoder = None
    video = iter(video)
    while chunk := list(islice(video, CHUNK_FRAMES)):
        frames = torch.from_numpy(np.stack(chunk))
        spec = spec or tokenizer.spec(*frames.shape[1:3])
        waiting.append(frames)
        codes, encoder = tokenizer.encode(to_clip(frames[None].to(tokenizer.device)), encoder)
        clip, decoder = tokenizer.decode(codes, spec, decoder)
        originals = torch.cat(waiting)
        done = clip.shape[2]
        waiting = [originals[done:]]
        if done:
            yield ReconstructedChunk(originals[:done], to_frames(clip)[0].cpu(), codes[0].cpu())
    if spec is not None and len(waiting[0]):  # an incomplete latent frame, or a decoder that looks ahead
        codes = tokenizer.encode_tail(encoder)
        clip, decoder = tokenizer.decode(codes, spec, decoder)
        tail = tokenizer.decode_tail(decoder)
        frames = to_frames(clip if tail is None else torch.cat([clip, tail], dim=2))[0, : len(waiting[0])]
        yield ReconstructedChunk(waiting[0], frames.cpu(), codes[0].cpu())
