"""What `Block` computes, to float rounding, in fewer operations: for streaming on a CPU, without gradients.

A proposal of a small prior is some hundreds of short operations besides its matrix products; their number costs time,
not their size.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from prior.blocks import Block, HeadNorm
from prior.config import PriorConfig
from prior.linear import unit_rms
from prior.rotary import RotaryCache


class BlockArithmetic(NamedTuple):
    """The two halves of a block, before and after attention."""

    project: Callable[[Block, Tensor], tuple[Tensor, Tensor, Tensor]]
    finish: Callable[[Block, Tensor, Tensor], Tensor]


def arithmetic_for(x: Tensor, rotary: RotaryCache, config: PriorConfig, rows: slice = slice(None)) -> BlockArithmetic:
    """The functions to use for input `x`, whose tokens are at these rows of `rotary`."""
    if not is_supported(x):
        at = RotaryCache(*(part[rows] for part in rotary))
        return BlockArithmetic(lambda block, x_BSC: block.project(x_BSC, at), Block.finish)
    scale = config.head_dim**0.5 if config.qk_norm else 1.0
    wide = RotaryCache(*(part[rows] for part in expand_rotary(rotary, x.dtype, scale)))
    return BlockArithmetic(lambda block, x_BSC: project(block, x_BSC, wide), finish)


def is_supported(x: Tensor) -> bool:
    """Whether `project` and `finish` below can be used: they compute norms in the dtype of the input, on a CPU."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


def project(block: Block, x_BSC: Tensor, wide: RotaryCache) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B, S, H, D], keys and values [B, S, K, D]; queries and keys are normalized and rotated together."""
    heads, kv_heads = block.heads, block.kv_heads
    qkv = torch.unflatten(block.qkv.after_norm(x_BSC), -1, (heads + 2 * kv_heads, -1))
    qk, v = qkv.split_with_sizes([heads + kv_heads, kv_heads], 2)
    if isinstance(block.q_norm, HeadNorm) and isinstance(block.k_norm, HeadNorm):
        qk = unit_rms(qk, block.q_norm.eps)  # the missing factor of the norm is in `wide`
        for part, norm in zip(qk.split_with_sizes([heads, kv_heads], 2), (block.q_norm, block.k_norm), strict=True):
            part.mul_(norm.weight)
    rotated = (qk * wide.cos).addcmul_(qk.roll(qk.shape[-1] // 2, -1), wide.sin)
    q, k = rotated.split_with_sizes([heads, kv_heads], 2)
    return q, k, v


def finish(block: Block, x_BSC: Tensor, attended_BSHD: Tensor) -> Tensor:
    x_BSC = block.out.add_to(x_BSC, attended_BSHD.flatten(2))
    gate, up = block.gate_up.after_norm(x_BSC).chunk(2, -1)
    return block.down.add_to(x_BSC, silu(gate).mul_(up))


def silu(x: Tensor) -> Tensor:
    """Uses torch.exp, whose bits do not depend on the number of threads; those of F.silu do."""
    return x / torch.neg(x).exp_().add_(1)


@functools.lru_cache(maxsize=64)
def expand_rotary(rotary: RotaryCache, dtype: torch.dtype, scale: float) -> RotaryCache:
    """Cosines and signed sines of all channels, [S, 1, D] each, multiplied by `scale`; cached for all proposals of a
    frame."""
    with torch.inference_mode(False):
        cos, sin = (scale * part.to(dtype)[:, None, :] for part in rotary)
        return RotaryCache(torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1))
