"""Attention for training and streaming; kernels differ in speed and memory, not in their results.

auto       flex on a GPU in training; gathered on a CPU, and for heads that are too narrow for flex
gathered   frame by frame, each with the keys of its window: linear in the number of frames
flex       torch's flex_attention with a block mask: also linear; for GPUs
dense      a full mask: quadratic, for short sequences
oracle     the definition, written out: the others are tested against it
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from prior.visibility import Layout

Kernel = Literal["auto", "gathered", "flex", "dense", "oracle"]
MIN_HEAD_DIM = 16  # the smallest head_dim that flex has kernels for
MAX_LAYOUTS = 64  # layouts of a run: phases, batches and grids, in training and validation


def attend(
    q_BSHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor, layout: Layout, kernel: Kernel = "auto", blocks: Any = None
) -> Tensor:
    """Attention over a training sequence with the mask of its layout, [B, S, H, D]; `blocks` is its `block_mask_of`."""
    kernel = choose_kernel(kernel, q_BSHD.device, q_BSHD.shape[-1])
    if kernel == "flex":
        return flex(q_BSHD, k_BSKD, v_BSKD, block_mask_of(layout, kernel, q_BSHD.device) if blocks is None else blocks)
    return KERNELS[kernel](q_BSHD, k_BSKD, v_BSKD, layout)


def choose_kernel(kernel: Kernel, device: torch.device, head_dim: int = MIN_HEAD_DIM) -> Kernel:
    """The kernel that `auto` stands for."""
    if kernel != "auto":
        return kernel
    return "flex" if device.type == "cuda" and head_dim >= MIN_HEAD_DIM else "gathered"


def attend_all(q_BNHD: Tensor, keys_BKMD: Tensor, values_BKMD: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention while streaming: each query attends to all keys, or to those that `mask` allows; [B, N, H, D].

    `mask` is bool [N, M], or [B, 1, N, M] and [B, 1, 1, M] if streams differ. Heads that share keys are treated as more
    queries.
    """
    batch, tokens, heads, head_dim = q_BNHD.shape
    if mask is None and can_use_flash(q_BNHD):
        return flash(q_BNHD, keys_BKMD, values_BKMD)
    shared = keys_BKMD.shape[1]
    grouped = torch.unflatten(q_BNHD, 2, (shared, heads // shared)).transpose(1, 2)
    folded = grouped.flatten(2, 3)  # in this order no copy is needed for one head of keys
    if mask is not None and mask.shape[-2] == tokens:
        mask = mask.repeat_interleave(heads // shared, -2)
    out = F.scaled_dot_product_attention(folded, keys_BKMD, values_BKMD, mask)
    return out.view(grouped.shape).transpose(1, 2).reshape(batch, tokens, heads, head_dim)


def oracle(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    k, v = (each.repeat_interleave(q.shape[2] // k.shape[2], dim=2) for each in (k, v))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    scores = scores.masked_fill(~layout.mask(q.device), float("-inf"))
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def dense(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    return attend_all(q, k.transpose(1, 2), v.transpose(1, 2), cached_mask(layout, q.device))


@functools.lru_cache(maxsize=8)
def cached_mask(layout: Layout, device: torch.device) -> Tensor:
    return layout.mask(device)


class SequenceParts(NamedTuple):
    """A training sequence split into its context [B, L, H, D] and its frames [B, N, H, D]."""

    context: Tensor
    clean: tuple[Tensor, ...]  # all but the last frame if there are two copies
    masked: tuple[Tensor, ...]  # empty if there is one copy
    caption: tuple[Tensor, ...] = ()  # one part, if the layout has a caption


def gathered(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Frame by frame, each with exactly the keys that it attends to: no score is computed and then masked.

    The keys of frame t form one tensor: [its masked copy | context, window | its clean copy]. Masked queries use
    all but its end, clean queries all but its start: two views of one copy.
    """
    queries, keys, values = (split_sequence(each, layout) for each in (q, k, v))
    context = attend_frame(queries.context, keys.context, values.context, None) if layout.context else queries.context
    clean, masked = [], []
    start = layout.tokens if layout.copies == 2 else 0
    for t in range(layout.frames):
        row_k, row_v = (visible_keys(each, t, layout) for each in (keys, values))
        own = row_k.shape[1] - (layout.tokens if t < layout.history else 0)
        mask = raster_mask(layout, own - start, q.device)
        if t < layout.history:
            clean.append(attend_frame(queries.clean[t], row_k[:, start:], row_v[:, start:], mask))
        if layout.copies == 2:
            masked.append(attend_frame(queries.masked[t], row_k[:, :own], row_v[:, :own], mask))
    caption = [attend_caption(queries, keys, values, layout)] if layout.caption else []
    return torch.cat([context, *clean, *masked, *caption], 1)


def attend_caption(queries: SequenceParts, keys: SequenceParts, values: SequenceParts, layout: Layout) -> Tensor:
    """A caption attends to what the next latent frame would attend to, and to itself in order."""
    rows = (torch.cat([visible_keys(each, layout.frames, layout), *each.caption], 1) for each in (keys, values))
    row_k, row_v = rows
    mask = causal_mask(layout.caption, row_k.shape[1], row_k.device)
    return attend_frame(queries.caption[0], row_k, row_v, mask)


def attend_frame(q_BNHD: Tensor, k_BMKD: Tensor, v_BMKD: Tensor, mask_NM: Tensor | None) -> Tensor:
    return attend_all(q_BNHD, k_BMKD.transpose(1, 2), v_BMKD.transpose(1, 2), mask_NM)


def split_sequence(x_BSHD: Tensor, layout: Layout) -> SequenceParts:
    """Uses one split: its backward is one copy, while each slice would allocate a whole sequence of zeros."""
    count = (layout.length - layout.context - layout.caption) // layout.tokens
    sizes = [layout.context, *[layout.tokens] * count, *[layout.caption] * bool(layout.caption)]
    context, *parts = torch.split(x_BSHD, sizes, dim=1)
    ends = layout.history, count
    return SequenceParts(context, tuple(parts[: ends[0]]), tuple(parts[ends[0] : ends[1]]), tuple(parts[ends[1] :]))


def visible_keys(keys: SequenceParts, t: int, layout: Layout) -> Tensor:
    """[B, M, K, D]: the keys (or values) that either copy of frame t attends to."""
    return torch.cat([*keys.masked[t : t + 1], keys.context, *keys.clean[max(0, t - layout.window) : t + 1]], 1)


@functools.lru_cache(maxsize=32)
def raster_mask(layout: Layout, before: int, device: torch.device) -> Tensor | None:
    """bool [N, M]: everything before a frame, and of the frame itself the tokens up to the query."""
    if layout.order == "together":
        return None
    return causal_mask(layout.tokens, before + layout.tokens, device)


def causal_mask(tokens: int, keys: int, device: torch.device) -> Tensor:
    """bool [N, M]: all keys, but of the last `tokens` only those up to the query."""
    mask = torch.ones(tokens, keys, dtype=torch.bool, device=device)
    mask[:, keys - tokens :].tril_()
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
    """Compiled separately for each shape and layout; beyond torch's default limit of eight it would run uncompiled,
    with
    quadratic memory."""
    from torch.nn.attention.flex_attention import flex_attention

    limits: Any = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, MAX_LAYOUTS)
    return torch.compile(flex_attention, dynamic=False)


@functools.lru_cache(maxsize=8)
def block_mask_of(layout: Layout, kernel: Kernel, device: torch.device, head_dim: int = MIN_HEAD_DIM) -> Any:
    """The block mask of flex; None for the other kernels.

    Create it before a compiled network is called: torch.compile ignores the cache and would rebuild it in every layer
    of every step. Building it takes 15 bytes per pair of positions.
    """
    if choose_kernel(kernel, device, head_dim) != "flex":
        return None
    from torch.nn.attention.flex_attention import create_block_mask

    def allowed(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return layout.may_see(query, key)

    return create_block_mask(allowed, None, None, layout.length, layout.length, device=str(device))


def can_use_flash(q: Tensor) -> bool:
    """Whether flash-attn is installed and supports the GPU, in half precision and without gradients."""
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
    """Attention to all keys, without a mask. (flash-attn's `causal` is about tokens, not frames.)"""
    keys, values = (each.to(q_BNHD.dtype).transpose(1, 2) for each in (keys_BKMD, values_BKMD))
    out: Tensor = flash_module().flash_attn_func(q_BNHD, keys, values, causal=False)
    return out


KERNELS: dict[Kernel, Callable[[Tensor, Tensor, Tensor, Layout], Tensor]] = {
    "gathered": gathered,
    "dense": dense,
    "oracle": oracle,
}
