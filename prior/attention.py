"""One attention for all uses; kernels differ in speed and memory, not in what comes out.

auto       flex on a GPU in training; gathered on a CPU, and for heads that are too narrow for flex
gathered   frame after frame, each with the keys of its window: linear in the number of frames
flex       torch's flex_attention over a mask of blocks: its work is linear too; for GPUs
dense      a mask of all positions by all positions: quadratic, for short sequences
oracle     the definition, written out: what the others are tested against
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from prior.visibility import Layout

Kernel = Literal["auto", "gathered", "flex", "dense", "oracle"]
NARROWEST = 16  # channels of a head that flex has kernels for
MOST_LAYOUTS = 64  # of a run: phases, batches and grids, in training and validation


def attend(
    q_BSHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor, layout: Layout, kernel: Kernel = "auto", blocks: Any = None
) -> Tensor:
    """Over a training sequence, each position as its layout allows; [B, S, H, D]. `blocks` are those of `blocks_of`."""
    kernel = choose(kernel, q_BSHD.device, q_BSHD.shape[-1])
    if kernel == "flex":
        return flex(q_BSHD, k_BSKD, v_BSKD, blocks_of(layout, kernel, q_BSHD.device) if blocks is None else blocks)
    return KERNELS[kernel](q_BSHD, k_BSKD, v_BSKD, layout)


def choose(kernel: Kernel, device: torch.device, channels: int = NARROWEST) -> Kernel:
    """Of a head with so many channels."""
    if kernel != "auto":
        return kernel
    return "flex" if device.type == "cuda" and channels >= NARROWEST else "gathered"


def attend_all(q_BNHD: Tensor, keys_BKMD: Tensor, values_BKMD: Tensor, mask_NM: Tensor | None = None) -> Tensor:
    """While streaming: every query sees all keys at hand, or those that `mask_NM` allows; [B, N, H, D].

    The heads that share keys are just more queries.
    """
    batch, tokens, heads, channels = q_BNHD.shape
    if mask_NM is None and flash_can(q_BNHD):
        return flash(q_BNHD, keys_BKMD, values_BKMD)
    shared = keys_BKMD.shape[1]
    grouped = torch.unflatten(q_BNHD, 2, (shared, heads // shared)).transpose(1, 2)
    folded = grouped.flatten(2, 3)  # token by token, so that of one head of keys nothing is copied
    mask = None if mask_NM is None else mask_NM.repeat_interleave(heads // shared, 0)
    out = F.scaled_dot_product_attention(folded, keys_BKMD, values_BKMD, mask)
    return out.view(grouped.shape).transpose(1, 2).reshape(batch, tokens, heads, channels)


def oracle(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    k, v = (each.repeat_interleave(q.shape[2] // k.shape[2], dim=2) for each in (k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~layout.mask(q.device), float("-inf"))
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def dense(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    return attend_all(q, k.transpose(1, 2), v.transpose(1, 2), kept_mask(layout, q.device))


@functools.lru_cache(maxsize=8)
def kept_mask(layout: Layout, device: torch.device) -> Tensor:
    return layout.mask(device)


class Parts(NamedTuple):
    """A training sequence cut up: [B, L, H, D], and of each frame [B, N, H, D]."""

    context: Tensor
    clean: tuple[Tensor, ...]  # without the last, where there are two copies
    masked: tuple[Tensor, ...]  # empty where there is one copy


def gathered(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Frame after frame, each with exactly the keys that it may see: nothing is computed to be masked away.

    The keys of frame t stand in a row: [its masked copy | context, sinks, window | its clean copy]. Masked queries take
    all but the end of the row, clean queries all but its beginning: two views, one copy of keys.
    """
    queries, keys, values = (parts(each, layout) for each in (q, k, v))
    context = look(queries.context, keys.context, values.context, None) if layout.context else queries.context
    clean, masked = [], []
    start = layout.tokens if layout.copies == 2 else 0
    for t in range(layout.frames):
        row_k, row_v = (row(each, t, layout) for each in (keys, values))
        own = row_k.shape[1] - (layout.tokens if t < layout.history else 0)
        mask = raster_mask(layout, own - start, q.device)
        if t < layout.history:
            clean.append(look(queries.clean[t], row_k[:, start:], row_v[:, start:], mask))
        if layout.copies == 2:
            masked.append(look(queries.masked[t], row_k[:, :own], row_v[:, :own], mask))
    return torch.cat([context, *clean, *masked], 1)


def look(q_BNHD: Tensor, k_BMKD: Tensor, v_BMKD: Tensor, mask_NM: Tensor | None) -> Tensor:
    return attend_all(q_BNHD, k_BMKD.transpose(1, 2), v_BMKD.transpose(1, 2), mask_NM)


def parts(x_BSHD: Tensor, layout: Layout) -> Parts:
    """By one split: its backward is one copy, that of a slice is a whole sequence of zeros for each."""
    sizes = [layout.context, *[layout.tokens] * ((layout.length - layout.context) // layout.tokens)]
    context, *frames = torch.split(x_BSHD, sizes, dim=1)
    return Parts(context, tuple(frames[: layout.history]), tuple(frames[layout.history :]))


def row(keys: Parts, t: int, layout: Layout) -> Tensor:
    """[B, M, K, D]: the keys (or values) that frame t may see in either copy."""
    sinks = range(min(layout.sinks, max(0, t - layout.window)))
    window = range(max(0, t - layout.window), t)
    earlier = [keys.clean[s] for s in (*sinks, *window)]
    return torch.cat([*keys.masked[t : t + 1], keys.context, *earlier, *keys.clean[t : t + 1]], 1)


@functools.lru_cache(maxsize=32)
def raster_mask(layout: Layout, before: int, device: torch.device) -> Tensor | None:
    """bool [N, M]: all of what comes before a frame, and of the frame no token after the one that asks."""
    if layout.order == "together":
        return None
    mask = torch.ones(layout.tokens, before + layout.tokens, dtype=torch.bool, device=device)
    mask[:, before:].tril_()
    return mask


def flex(q: Tensor, k: Tensor, v: Tensor, blocks: Any) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    alone = q.device.type == "cuda" and not torch.compiler.is_compiling()
    run: Any = compiled_flex() if alone else flex_attention
    out: Tensor = run(
        *(each.transpose(1, 2) for each in (q, k, v)), block_mask=blocks, enable_gqa=q.shape[2] != k.shape[2]
    )
    return out.transpose(1, 2)


@functools.cache
def compiled_flex() -> Any:
    """Compiled for each shape and layout by itself; past torch's own limit of eight it would run uncompiled, whose
    memory is quadratic."""
    from torch.nn.attention.flex_attention import flex_attention

    limits: Any = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, MOST_LAYOUTS)
    return torch.compile(flex_attention, dynamic=False)


@functools.lru_cache(maxsize=8)
def blocks_of(layout: Layout, kernel: Kernel, device: torch.device, channels: int = NARROWEST) -> Any:
    """Which blocks of positions see which, for flex; None for the other kernels.

    Made once a layout, and before a compiled network is called: a compiler looks through the cache and would make it
    anew in every layer of every step. It looks at all pairs of positions, 15 bytes a pair at its peak.
    """
    if choose(kernel, device, channels) != "flex":
        return None
    from torch.nn.attention.flex_attention import create_block_mask

    def allowed(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return layout.may_see(query, key)

    return create_block_mask(allowed, None, None, layout.length, layout.length, device=str(device))


def flash_can(q: Tensor) -> bool:
    """flash-attn: installed, on a GPU that it serves, in half precision, without gradients to keep."""
    half = q.dtype in (torch.float16, torch.bfloat16)
    return q.is_cuda and half and not q.requires_grad and flash_module() is not None


@functools.cache
def flash_module() -> Any:
    try:
        import flash_attn  # type: ignore[import-not-found]
    except ImportError:  # an extra that needs a compiler and a GPU
        return None
    return flash_attn if torch.cuda.get_device_capability() >= (8, 0) else None


def flash(q_BNHD: Tensor, keys_BKMD: Tensor, values_BKMD: Tensor) -> Tensor:
    """No mask and no causality: all that is at hand is visible. (Its own `causal` means tokens, not frames.)"""
    keys, values = (each.to(q_BNHD.dtype).transpose(1, 2) for each in (keys_BKMD, values_BKMD))
    out: Tensor = flash_module().flash_attn_func(q_BNHD, keys, values, causal=False)
    return out


KERNELS: dict[Kernel, Callable[[Tensor, Tensor, Tensor, Layout], Tensor]] = {
    "gathered": gathered,
    "dense": dense,
    "oracle": oracle,
}
