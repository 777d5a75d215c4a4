"""Frames to a compressed file: encoded, coded and written chunk by chunk, in constant memory."""

import time
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokens import TokenSpec
from videogen.codec.container import ChunkWriter
from videogen.codec.figures import CodecFigures
from videogen.codec.probabilities import Coded
from videogen.codec.range_coder import SymbolWriter
from videogen.codec.settings import (
    AnyModel,
    CodecSettings,
    coded_spec,
    header_of,
    probabilities_of,
    tokenizer_of,
)
from videogen.io.pixels import to_clip
from videogen.models import TokenizerModel
from videogen.system.threads import one_thread

Frames = NDArray[np.uint8]


def compress(
    model: AnyModel, video: Iterable[Frames], size: tuple[int, int], fps: float, settings: CodecSettings, out: BinaryIO
) -> Iterator[CodecFigures]:
    """Writes the frames uint8 [H, W, 3]; yields the figures so far after each chunk, and at the end."""
    tokenizer, spec = tokenizer_of(model), coded_spec(model, *size)
    header = header_of(model, settings, size, fps)
    probabilities, figures, writer = probabilities_of(model, header, spec), CodecFigures(), ChunkWriter(out, header)
    for scene in scenes_of(video, settings.scene, fps, spec):
        begins = True
        probabilities.begin()
        for codes_TNK, frames in chunks_of(tokenizer, spec, scene, settings.chunk, figures):
            coder, began = SymbolWriter(), time.perf_counter()
            with one_thread():
                for codes_NK in codes_TNK:
                    probabilities.code(Coded(coder, codes_NK))
            payload = coder.bytes()
            figures.add_seconds(coder.seconds, time.perf_counter() - began)
            writer.write(begins, codes_TNK, frames, payload)
            figures.add_chunk(begins, len(codes_TNK), frames, len(payload))
            figures.bytes, begins = writer.written, False
            yield figures
    writer.end()
    figures.bytes = writer.written
    yield figures


def scenes_of(
    video: Iterable[Frames], seconds: float | None, fps: float, spec: TokenSpec
) -> Iterator[Iterator[Frames]]:
    """The frames of each scene, which fill whole latent frames; read one before the next is asked for."""
    frames = iter(video)
    length = None if seconds is None else spec.video_frames(max(1, spec.latent_frames(round(seconds * fps))))
    for first in frames:
        yield chain([first], frames if length is None else islice(frames, length - 1))


def chunks_of(
    tokenizer: TokenizerModel, spec: TokenSpec, scene: Iterator[Frames], chunk: int, figures: CodecFigures
) -> Iterator[tuple[Tensor, int]]:
    """Codes [T, N, K] of `chunk` latent frames each, fewer at the end, and how many frames they are."""
    network, state, before, whole = tokenizer.network, None, 0, True
    while whole:
        wanted = spec.video_frames(before + chunk) - spec.video_frames(before)
        frames, codes = list(islice(scene, wanted)), spec.empty(1, device=network.device)
        began, whole = time.perf_counter(), len(frames) == wanted
        if frames:
            clip = to_clip(torch.from_numpy(np.stack(frames))[None].to(network.device))
            codes, state = network.encode(clip, state)
        if not whole and state is not None:
            codes = torch.cat([codes, network.encode_tail(state)], dim=1)
        figures.seconds["tokenizer"] += time.perf_counter() - began
        before += codes.shape[1]
        if codes.shape[1]:
            yield codes[0], len(frames)
