"""The arithmetic of a block while streaming on a CPU: what `Block` computes, to float rounding, in fewer operations.

Beside its matrix products a proposal of a small prior is some hundreds of short operations, and after a product each
begins with cold caches: it is their number that costs, not their size. Nothing here has gradients.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from prior.blocks import Block, HeadNorm
from prior.config import PriorConfig
from prior.linear import unit
from prior.rotary import RotaryCache


class BlockArithmetic(NamedTuple):
    """What a block does before attention and after it."""

    project: Callable[[Block, Tensor], tuple[Tensor, Tensor, Tensor]]
    finish: Callable[[Block, Tensor, Tensor], Tensor]


def steps_for(x: Tensor, rotary: RotaryCache, config: PriorConfig, rows: slice = slice(None)) -> BlockArithmetic:
    """For tokens that stand at these rows of `rotary`."""
    if not suits(x):
        at = RotaryCache(*(part[rows] for part in rotary))
        return BlockArithmetic(lambda block, x_BSC: block.project(x_BSC, at), Block.finish)
    scale = config.head_dim**0.5 if config.qk_norm else 1.0
    wide = RotaryCache(*(part[rows] for part in widened(rotary, x.dtype, scale)))
    return BlockArithmetic(lambda block, x_BSC: project(block, x_BSC, wide), finish)


def suits(x: Tensor) -> bool:
    """Norms and positions are computed in the type of the input, which half precision is too coarse for; a GPU has
    kernels of its own for them."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled("cpu")


def project(block: Block, x_BSC: Tensor, wide: RotaryCache) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [B, S, H, D], keys and values [B, S, K, D]; queries and keys are normed and rotated as one."""
    heads, kv_heads = block.heads, block.kv_heads
    qkv = torch.unflatten(block.qkv.after_norm(x_BSC), -1, (heads + 2 * kv_heads, -1))
    qk, v = qkv.split_with_sizes([heads + kv_heads, kv_heads], 2)
    if isinstance(block.q_norm, HeadNorm) and isinstance(block.k_norm, HeadNorm):
        qk = unit(qk, block.q_norm.eps)  # what it lacks to a norm is in `wide`
        for part, norm in zip(qk.split_with_sizes([heads, kv_heads], 2), (block.q_norm, block.k_norm), strict=True):
            part.mul_(norm.weight)
    rotated = (qk * wide.cos).addcmul_(qk.roll(qk.shape[-1] // 2, -1), wide.sin)
    q, k = rotated.split_with_sizes([heads, kv_heads], 2)
    return q, k, v


def finish(block: Block, x_BSC: Tensor, attended_BSHD: Tensor) -> Tensor:
    x_BSC = block.out.added_to(x_BSC, attended_BSHD.flatten(2))
    gate, up = block.gate_up.after_norm(x_BSC).chunk(2, -1)
    return block.down.added_to(x_BSC, silu(gate).mul_(up))


def silu(x: Tensor) -> Tensor:
    """By torch's exponential, whose bits do not depend on how many threads share the work; those of its own silu do."""
    return x / torch.neg(x).exp_().add_(1)


@functools.lru_cache(maxsize=64)
def widened(rotary: RotaryCache, dtype: torch.dtype, scale: float) -> RotaryCache:
    """[S, 1, D] of each: channel i is multiplied by the cosine, and its partner by the sine with its sign; both
    are `scale` times as long. Kept for all proposals of a frame."""
    with torch.inference_mode(False):
        cos, sin = (scale * part.to(dtype)[:, None, :] for part in rotary)
        return RotaryCache(torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1))
