"""What a latent frame is: tokens, bits, and the time to encode and decode it in a stream.

Times are CPU time of one thread for one clip, the median over latent frames; `state_kib` is what the decoder keeps from
one latent frame to the next. A tokenizer that cannot stream has tokens and bits alone.
"""

import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from tokenizer.streaming import flatten_state
from videogen.io.pixels import to_clip
from videogen.lab.measures import Figures
from videogen.lab.measures.context import MeasureContext
from videogen.system.threads import one_thread

WARM_UP, TIMED = 8, 40  # latent frames
KIB = 1024


def measure(context: MeasureContext) -> Figures:
    spec = context.model.spec
    figures = {"tokens_per_latent": float(spec.tokens), "bits_per_latent": spec.bits * spec.tokens}
    if not context.model.network.causal:
        return figures
    with one_thread(), torch.no_grad():
        return {**figures, **streamed(context)}


def streamed(context: MeasureContext) -> Figures:
    """Encode and decode a held-out clip, over and over again, as one stream."""
    network, spec = context.model.network, context.model.spec
    encoder: Any = None
    decoder: Any = None
    encode_ms, decode_ms = [], []
    for part_BCTHW in latent_frames(context):
        began = time.process_time()
        codes, encoder = network.encode(part_BCTHW, encoder)
        encoded = time.process_time()
        _, decoder = network.decode(codes, spec, decoder)
        decoded = time.process_time()
        encode_ms.append(1000 * (encoded - began))
        decode_ms.append(1000 * (decoded - encoded))
    return {
        "encode_ms": statistics.median(encode_ms[WARM_UP:]),
        "decode_ms": statistics.median(decode_ms[WARM_UP:]),
        "state_kib": sum(leaf.nbytes for leaf in flatten_state(decoder).values()) / KIB,
    }


def latent_frames(context: MeasureContext) -> Iterator[Tensor]:
    """The frames of one latent frame after the other, [1, C, T, H, W]."""
    spec, clip_BTHWC = context.model.spec, context.clips[:1]
    ends = [spec.video_frames(count) for count in range(1 + WARM_UP + TIMED)]
    for start, end in pairwise(ends):
        numbers = torch.arange(start, end) % clip_BTHWC.shape[1]
        yield to_clip(clip_BTHWC[:, numbers])
