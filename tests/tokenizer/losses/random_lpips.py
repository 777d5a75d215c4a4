"""Random weights of LPIPS under the published names."""

import torch
from torch import Tensor

from tokenizer.losses.lpips import BACKBONES


def random_lpips(variant: str, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep the size of what passes through them."""
    g = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in BACKBONES[variant].shapes().items():
        if name.startswith("lin"):
            weights[name] = torch.rand(shape, generator=g)
        elif name.endswith("bias"):
            weights[name] = torch.randn(shape, generator=g) * 0.1
        else:
            weights[name] = torch.randn(shape, generator=g) * (2 / weights_in(shape)) ** 0.5
    return weights


def weights_in(shape: tuple[int, ...]) -> int:
    return shape[1] * shape[2] * shape[3]
