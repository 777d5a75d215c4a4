"""What each level of a residual quantizer adds, and each token of a nested line: PSNR of the first ones alone.

`psnr_levels_1` is from one level, `psnr_tokens_1` from one token, and so on; other models have no such figures.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from interfaces.tokenizer import State, decode_clip
from videogen.evaluation.tokenizer.metrics import psnr
from videogen.io.pixels import to_frames
from videogen.lab.measures import Figures
from videogen.lab.measures.context import AT_ONCE, MeasureContext

Decode: TypeAlias = Callable[[MeasureContext, Tensor, int, State], Tensor]  # with the state of a decoder that begins


def measure(context: MeasureContext) -> Figures:
    quantizer = context.quantizer
    depth = quantizer.config.depth if hasattr(quantizer, "prefix") else 0
    levels = {f"psnr_levels_{count}": psnr_of(context, decode_levels, count) for count in range(1, depth + 1)}
    tokens = {f"psnr_tokens_{count}": psnr_of(context, decode_tokens, count) for count in context.model.prefixes}
    return {**levels, **tokens}


@torch.no_grad()
def psnr_of(context: MeasureContext, decode: Decode, count: int) -> float:
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(context.codes), AT_ONCE)]
    starts = (context.model.begin_decoding(context.captions[part]) for part in parts)
    each = zip(parts, starts, strict=True)
    clips = torch.cat([decode(context, context.codes[part], count, start) for part, start in each])
    return float(psnr(clips[:, : context.clips.shape[1]].flatten(0, 1), context.clips.flatten(0, 1)).mean())


def decode_levels(context: MeasureContext, codes_BTNK: Tensor, levels: int, start: State) -> Tensor:
    """Frames uint8 [B, T, H, W, 3] of the first levels of these codes."""
    network: Any = context.model.network
    latents_BTND = context.quantizer.prefix(codes_BTNK, levels)
    return to_frames(network.decode_latents(latents_BTND, context.model.spec, start)[0])


def decode_tokens(context: MeasureContext, codes_BTNK: Tensor, tokens: int, start: State) -> Tensor:
    """Frames uint8 [B, T, H, W, 3] of the first tokens of these codes."""
    spec = context.model.spec.resized([(tokens,)])
    return to_frames(decode_clip(context.model.network, codes_BTNK[:, :, :tokens], spec, start))
