"""What each level of a residual quantizer adds: PSNR of reconstructions from its first levels alone.

`psnr_levels_1` is from one level, and so on; a quantizer without levels has no such figures.
"""

from typing import Any

import torch
from torch import Tensor

from videogen.evaluation.tokenizer.metrics import psnr
from videogen.io.pixels import to_frames
from videogen.lab.measures import Figures
from videogen.lab.measures.context import AT_ONCE, MeasureContext


def measure(context: MeasureContext) -> Figures:
    quantizer = context.quantizer
    if not hasattr(quantizer, "prefix"):
        return {}
    counts = range(1, quantizer.config.depth + 1)
    return {f"psnr_levels_{levels}": psnr_of_prefix(context, levels) for levels in counts}


@torch.no_grad()
def psnr_of_prefix(context: MeasureContext, levels: int) -> float:
    clips = torch.cat([decode_prefix(context, part, levels) for part in torch.split(context.codes, AT_ONCE)])
    return float(psnr(clips[:, : context.clips.shape[1]].flatten(0, 1), context.clips.flatten(0, 1)).mean())


def decode_prefix(context: MeasureContext, codes_BTNK: Tensor, levels: int) -> Tensor:
    """Frames uint8 [B, T, H, W, 3] of the first levels of these codes."""
    network: Any = context.model.network
    latents_BTND = context.quantizer.prefix(codes_BTNK, levels)
    return to_frames(network.decode_latents(latents_BTND, context.model.spec)[0])
