"""Where clips to be judged come from: a model, the playroom itself, or the playroom through a model's tokens."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from interfaces.tokenizer import encode_clip
from videogen.evaluation.generation.prompts import Clips, Prompts, true_clips
from videogen.evaluation.generation.settings import Setting
from videogen.generate import Made, generate
from videogen.models import TokenizerModel
from videogen.pipeline import VideoPipeline
from videogen.pixels import to_clip, to_frames
from videogen.playroom.scene import Scene


class Batch(NamedTuple):
    clips: Clips  # uint8 [B, T, H, W, 3]
    steps: float = 0.0  # proposals a latent frame, in the mean


Maker = Callable[[range], Batch]  # the clips of the prompts with these numbers
Pieces = Iterator[Clips]  # of streams that never end: uint8 [B, t, H, W, 3], any t


def generated(pipe: VideoPipeline, prompts: Prompts, setting: Setting, frames: int, seed: int) -> Maker:
    """Prompt number i with seed + i, whatever else is in its batch."""

    def make(numbers: range) -> Batch:
        stream = frames_of(pipe, tuple(prompts.captions[number] for number in numbers), setting, seed + numbers.start)
        made = [next(stream)]
        while sum(one.pictures.shape[1] for one in made) < frames:
            made.append(next(stream))
        steps = sum(float(one.steps_B.float().mean()) for one in made) / len(made)
        return Batch(torch.cat([one.pictures for one in made], 1)[:, :frames].cpu().numpy(), steps)

    return make


def frames_of(pipe: VideoPipeline, captions: tuple[str, ...], setting: Setting, seed: int) -> Iterator[Made]:
    """A stream for each caption, all at once; number i of them is drawn from seed + i."""
    seeds = [seed + number for number in range(len(captions))]
    return generate(pipe.model, pipe.job(captions, None, 1, seeds, dict(setting.changes)))


def rendered(scenes: tuple[Scene, ...], frames: int, height: int, width: int, fps: float) -> Maker:
    """What a perfect generator would make."""
    return lambda numbers: Batch(
        true_clips(tuple(scenes[number] for number in numbers), frames, height, width, fps).numpy()
    )


def through_tokens(maker: Maker, tokenizer: TokenizerModel) -> Maker:
    """What is left of clips as tokens: what a perfect prior would make."""
    network = tokenizer.network

    @torch.no_grad()
    def make(numbers: range) -> Batch:
        clips = maker(numbers).clips
        clip = to_clip(clips).to(network.device)
        decoded, _ = network.decode(encode_clip(network, clip), network.spec(*clip.shape[3:]))
        return Batch(to_frames(decoded)[:, : clips.shape[1]].cpu().numpy())

    return make


def endless(pipe: VideoPipeline, captions: tuple[str, ...], setting: Setting, seed: int) -> Pieces:
    return (made.pictures.cpu().numpy() for made in frames_of(pipe, captions, setting, seed))


def endlessly_rendered(scenes: tuple[Scene, ...], height: int, width: int, fps: float, at_once: int = 16) -> Pieces:
    start = 0
    while True:
        yield true_clips(scenes, at_once, height, width, fps, start).numpy()
        start += at_once


def windows(pieces: Pieces, length: int, hop: int, total: int) -> Iterator[tuple[int, Clips]]:
    """(number of its first picture, `length` pictures of every stream), every `hop` pictures, within the first `total`.

    Only a window is ever held, however long the streams.
    """
    held, start = next(pieces), 0
    while start + length <= total:
        while held.shape[1] < length:
            held = np.concatenate([held, next(pieces)], axis=1)
        yield start, held[:, :length]
        while held.shape[1] < hop:
            held = np.concatenate([held, next(pieces)], axis=1)
        held, start = held[:, hop:], start + hop
