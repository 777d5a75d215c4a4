"""LPIPS as a folder: torchvision's backbone and the published heads in one file."""

from collections.abc import Mapping
from pathlib import Path

import torch

from tokenizer.losses.lpips import BACKBONES, head, variant_of
from videogen.checkpoint_reader import Checkpoint, read_checkpoint
from videogen.models.measures.base import MeasureKind, PublicMeasure, check_options, option_path


def read_lpips(source: Path, options: Mapping[str, str]) -> PublicMeasure:
    """SOURCE is torchvision's VGG16 or AlexNet, `heads` the linear layers for it."""
    check_options(options, ("heads",))
    backbone = read_checkpoint(source)
    if head(0) in backbone.tensors and "heads" not in options:
        found = backbone
    elif "heads" not in options:
        raise ValueError("heads is missing: heads=FILE names the linear layers, weights/v0.1/vgg.pth or alex.pth there")
    else:
        heads = read_checkpoint(option_path(options, "heads"))
        both = sorted(backbone.tensors.keys() & heads.tensors.keys())
        if both:
            raise ValueError(f"the tensor {both[0][:60]!a} is in both SOURCE and heads")
        found = Checkpoint({**backbone.tensors, **heads.tensors}, {**backbone.sha256, **heads.sha256})
    variant = variant_of(found.tensors)
    network = {name: torch.empty(shape, device="meta") for name, shape in BACKBONES[variant].shapes().items()}
    return PublicMeasure(variant, found, network)


LPIPS = MeasureKind(
    source="torchvision (vgg16-397923af.pth, alexnet-owt-7be5be79.pth); heads: "
    "https://github.com/richzhang/PerceptualSimilarity, lpips/weights/v0.1",
    licence="BSD-3-Clause (torchvision), BSD-2-Clause (heads)",
    ignored=("classifier.",),
    read=read_lpips,
)
