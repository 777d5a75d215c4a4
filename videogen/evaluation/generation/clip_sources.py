"""Where clips to be judged come from: a model, the playroom itself, or the playroom through a model's tokens."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from videogen.evaluation.generation.prompts import Clips, Prompts, true_clips
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.generate import Made, generate
from videogen.models import TokenizerModel
from videogen.pipeline import VideoPipeline
from videogen.pixels import to_clip, to_frames
from videogen.playroom.scene import Scene


class ClipBatch(NamedTuple):
    clips: Clips  # uint8 [B, T, H, W, 3]
    steps: float = 0.0  # proposals a latent frame, in the mean


ClipSource = Callable[[range], ClipBatch]  # the clips of the prompts with these numbers
ChunkStream = Iterator[Clips]  # of streams that never end: uint8 [B, t, H, W, 3], any t


def model_clips(pipe: VideoPipeline, prompts: Prompts, variant: SamplerVariant, frames: int, seed: int) -> ClipSource:
    """Prompt number i with seed + i, whatever else is in its batch."""

    def make(numbers: range) -> ClipBatch:
        stream = stream_outputs(
            pipe, tuple(prompts.captions[number] for number in numbers), variant, seed + numbers.start
        )
        made = [next(stream)]
        while sum(one.pictures.shape[1] for one in made) < frames:
            made.append(next(stream))
        steps = sum(float(one.steps_B.float().mean()) for one in made) / len(made)
        return ClipBatch(torch.cat([one.pictures for one in made], 1)[:, :frames].cpu().numpy(), steps)

    return make


def stream_outputs(
    pipe: VideoPipeline, captions: tuple[str, ...], variant: SamplerVariant, seed: int
) -> Iterator[Made]:
    """A stream for each caption, all at once; number i of them is drawn from seed + i."""
    seeds = [seed + number for number in range(len(captions))]
    return generate(pipe.model, pipe.job(captions, None, 1, seeds, dict(variant.overrides)))


def rendered_clips(scenes: tuple[Scene, ...], frames: int, height: int, width: int, fps: float) -> ClipSource:
    """What a perfect generator would make."""
    return lambda numbers: ClipBatch(
        true_clips(tuple(scenes[number] for number in numbers), frames, height, width, fps).numpy()
    )


def reconstructed_clips(source: ClipSource, tokenizer: TokenizerModel) -> ClipSource:
    """What is left of clips as tokens: what a perfect prior would make."""
    network = tokenizer.network
    device = next(network.parameters()).device

    @torch.no_grad()
    def make(numbers: range) -> ClipBatch:
        clips = source(numbers).clips
        decoded, _ = network.decode(network.encode_clip(to_clip(clips).to(device)))
        return ClipBatch(to_frames(decoded)[:, : clips.shape[1]].cpu().numpy())

    return make


def model_stream(pipe: VideoPipeline, captions: tuple[str, ...], variant: SamplerVariant, seed: int) -> ChunkStream:
    return (made.pictures.cpu().numpy() for made in stream_outputs(pipe, captions, variant, seed))


def rendered_stream(scenes: tuple[Scene, ...], height: int, width: int, fps: float, at_once: int = 16) -> ChunkStream:
    start = 0
    while True:
        yield true_clips(scenes, at_once, height, width, fps, start).numpy()
        start += at_once


def sliding_windows(chunks: ChunkStream, length: int, hop: int, total: int) -> Iterator[tuple[int, Clips]]:
    """(number of its first picture, `length` pictures of every stream), every `hop` pictures, within the first `total`.

    Only a window is ever held, however long the streams.
    """
    held, start = next(chunks), 0
    while start + length <= total:
        while held.shape[1] < length:
            held = np.concatenate([held, next(chunks)], axis=1)
        yield start, held[:, :length]
        while held.shape[1] < hop:
            held = np.concatenate([held, next(chunks)], axis=1)
        held, start = held[:, hop:], start + hop
