"""Whether the decoder has learned codes or mixtures: what it is trained on against what it gets when tokens are made.

The soft path is the network as it stands at the end of training, with the quantizer's own noise and mixing; the hard
path decodes codes. A quantizer that decodes codes in training too has a gap near 0.
"""

import copy
from typing import Any

import torch

from videogen.evaluation.tokenizer.metrics import psnr
from videogen.io.pixels import to_clip, to_frames
from videogen.lab.measures import Figures
from videogen.lab.measures.context import AT_ONCE, MeasureContext


@torch.no_grad()
def measure(context: MeasureContext) -> Figures:
    network: Any = copy.deepcopy(context.model.network)
    network.train().requires_grad_(True)  # a model for use is frozen, and a frozen codebook gives codes alone
    network.quantizer.set_step(context.training.steps - 1)
    torch.manual_seed(0)
    soft = torch.cat([to_frames(network(to_clip(part)).clip) for part in torch.split(context.clips, AT_ONCE)])
    in_training, in_use = (mean_psnr(clips, context.clips) for clips in (soft, context.reconstructions))
    return {"psnr_soft": in_training, "soft_gap": in_training - in_use}


def mean_psnr(clips: torch.Tensor, originals: torch.Tensor) -> float:
    return float(psnr(clips.flatten(0, 1), originals.flatten(0, 1)).mean())
