"""Sources of clips to evaluate: a model, the playroom renderer, or rendered clips reconstructed by a tokenizer."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from interfaces.tokenizer import decode_clip, encode_clip
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.prompts import Prompts, true_clips
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.generate import LatentOutput, generate
from videogen.io.pixels import to_clip, to_frames
from videogen.models import TokenizerModel
from videogen.pipeline import VideoPipeline
from videogen.playroom.scene import Scene


class SourceClips(NamedTuple):
    clips: Clips  # uint8 [B, T, H, W, 3]
    steps: float = 0.0  # mean number per latent frame


ClipSource = Callable[[range], SourceClips]  # from prompt numbers to their clips
ChunkStream = Iterator[Clips]  # endless streams: uint8 [B, t, H, W, 3], any t


def model_clips(pipe: VideoPipeline, prompts: Prompts, variant: SamplerVariant, frames: int, seed: int) -> ClipSource:
    """Clips of a model; prompt i is sampled with seed + i, in whatever batch."""

    def make(numbers: range) -> SourceClips:
        captions = tuple(prompts.captions[number] for number in numbers)
        outputs = list(stream_outputs(pipe, captions, variant, seed + numbers.start, frames))
        steps = sum(float(output.steps_B.float().mean()) for output in outputs) / len(outputs)
        return SourceClips(torch.cat([output.frames for output in outputs], 1)[:, :frames].cpu().numpy(), steps)

    return make


def stream_outputs(
    pipe: VideoPipeline, captions: tuple[str, ...], variant: SamplerVariant, seed: int, frames: int | None = None
) -> Iterator[LatentOutput]:
    """A batch of streams, one for each caption; stream i has seed + i."""
    seeds = [seed + number for number in range(len(captions))]
    request = pipe.request(captions, None, 1, seeds, dict(variant.overrides))
    return generate(pipe.model, request, num_frames=frames)


def rendered_clips(scenes: tuple[Scene, ...], frames: int, height: int, width: int, fps: float) -> ClipSource:
    """True clips: what a perfect generator would produce."""
    return lambda numbers: SourceClips(
        true_clips(tuple(scenes[number] for number in numbers), frames, height, width, fps).numpy()
    )


def reconstructed_clips(source: ClipSource, tokenizer: TokenizerModel) -> ClipSource:
    """Clips after the tokenizer: what a perfect prior would produce."""
    network = tokenizer.network

    @torch.no_grad()
    def make(numbers: range) -> SourceClips:
        clips = source(numbers).clips
        codes_BTNK = encode_clip(network, to_clip(clips).to(network.device))
        decoded = decode_clip(network, codes_BTNK, network.spec(*clips.shape[2:4]))
        return SourceClips(to_frames(decoded)[:, : clips.shape[1]].cpu().numpy())

    return make


def model_stream(pipe: VideoPipeline, captions: tuple[str, ...], variant: SamplerVariant, seed: int) -> ChunkStream:
    return (output.frames.cpu().numpy() for output in stream_outputs(pipe, captions, variant, seed))


def rendered_stream(scenes: tuple[Scene, ...], height: int, width: int, fps: float, at_once: int = 16) -> ChunkStream:
    start = 0
    while True:
        yield true_clips(scenes, at_once, height, width, fps, start).numpy()
        start += at_once


def sliding_windows(chunks: ChunkStream, length: int, hop: int, total: int) -> Iterator[tuple[int, Clips]]:
    """Windows (number of the first frame, `length` frames of each stream), every `hop` frames up to `total`.

    Memory holds one window.
    """
    held, start = next(chunks), 0
    while start + length <= total:
        while held.shape[1] < length:
            held = np.concatenate([held, next(chunks)], axis=1)
        yield start, held[:, :length]
        while held.shape[1] < hop:
            held = np.concatenate([held, next(chunks)], axis=1)
        held, start = held[:, hop:], start + hop
