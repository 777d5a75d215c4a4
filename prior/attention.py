"""One attention for all uses; kernels differ in speed and memory, not in what comes out.

auto       flex on a GPU in training, gathered on a CPU
gathered   each frame with the keys of its window, all frames as one batch: linear in the number of frames
flex       torch's flex_attention over a block mask that is built once a layout: linear too; for GPUs
dense      a mask of all positions by all positions: quadratic, for short sequences
oracle     the definition, written out: what the others are tested against
"""

import functools
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from prior.visibility import Layout

Kernel = Literal["auto", "gathered", "flex", "dense", "oracle"]


def attend(q_BSHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor, layout: Layout, kernel: Kernel = "auto") -> Tensor:
    """Over a training sequence, each position as its layout allows; [B, S, H, D]."""
    return KERNELS[choose(kernel, q_BSHD.device)](q_BSHD, k_BSKD, v_BSKD, layout)


def choose(kernel: Kernel, device: torch.device) -> Kernel:
    if kernel != "auto":
        return kernel
    return "flex" if device.type == "cuda" else "gathered"


def attend_all(q_BNHD: Tensor, keys_BKMD: Tensor, values_BKMD: Tensor, mask_NM: Tensor | None = None) -> Tensor:
    """While streaming: every query sees all keys at hand, or those that `mask_NM` allows; [B, N, H, D].

    The heads that share keys are just more queries.
    """
    batch, tokens, heads, channels = q_BNHD.shape
    if mask_NM is None and flash_can(q_BNHD):
        return flash(q_BNHD, keys_BKMD, values_BKMD)
    shared = keys_BKMD.shape[1]
    folded = torch.unflatten(q_BNHD, 2, (shared, heads // shared)).permute(0, 2, 3, 1, 4).flatten(2, 3)
    mask = None if mask_NM is None else mask_NM.repeat(heads // shared, 1)
    out = F.scaled_dot_product_attention(folded, keys_BKMD, values_BKMD, mask)
    out = out.view(batch, shared, heads // shared, tokens, channels)
    return out.permute(0, 3, 1, 2, 4).reshape(batch, tokens, heads, channels)


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


def gathered(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """The keys of frame t stand in a row: [its masked copy | context, sinks, window | its clean copy].

    Masked queries take all but the end of the row, clean queries all but its beginning: two views, one copy of keys.
    """
    tokens, two = layout.tokens, layout.copies == 2
    context = (each[:, : layout.context] for each in (q, k, v))
    out = [context_sees_itself(*context)] if layout.context else []
    keys, values = (rows_of_keys(each, layout) for each in (k, v))
    visible = visible_before(layout, q.device)
    for copy in range(layout.copies):
        start = layout.context + copy * layout.frames * tokens
        queries = torch.unflatten(q[:, start : start + layout.frames * tokens], 1, (layout.frames, tokens))
        masked = copy == 1
        row = slice(0, -tokens) if masked else slice(tokens if two else 0, None)
        own = own_frame(layout, q.device)
        parts = [own, visible] if masked else [visible, own]
        height = max(part.shape[1] for part in parts)
        mask = torch.cat([part.expand(layout.frames, height, -1) for part in parts], -1)
        out.append(attend_rows(queries, keys[..., row, :], values[..., row, :], mask).flatten(1, 2))
    return torch.cat(out, 1)


def context_sees_itself(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend_all(q, k.transpose(1, 2), v.transpose(1, 2))


def rows_of_keys(k_BSKD: Tensor, layout: Layout) -> Tensor:
    """[B, T, K, M, D]: for each frame its row of keys (or values)."""
    frames, tokens, window = layout.frames, layout.tokens, reach(layout)
    k_BKSD = k_BSKD.transpose(1, 2)
    context, copies = k_BKSD[:, :, : layout.context], k_BKSD[:, :, layout.context :]
    clean, *masked = torch.split(copies, frames * tokens, dim=2)
    before = context.unsqueeze(1).expand(-1, frames, -1, -1, -1)
    sinks = clean[:, :, : min(layout.sinks, frames) * tokens].unsqueeze(1).expand(-1, frames, -1, -1, -1)
    padded = F.pad(clean, (0, 0, window * tokens, 0))
    windows = (
        padded.unfold(2, window * tokens, tokens)[:, :, :frames].permute(0, 2, 1, 4, 3)
        if window
        else before[:, :, :, :0]
    )
    own = [torch.unflatten(each, 2, (frames, tokens)).transpose(1, 2) for each in (*masked, clean)]
    return torch.cat([*own[:-1], before, sinks, windows, own[-1]], 3)


def reach(layout: Layout) -> int:
    """How far back a frame of this sequence can see: no farther than its beginning."""
    return min(layout.window, layout.frames - 1)


@functools.lru_cache(maxsize=16)
def visible_before(layout: Layout, device: torch.device) -> Tensor:
    """bool [T, 1, context + sinks + window]: what there is, for each frame, of the row's middle."""
    frame = torch.arange(layout.frames, device=device)[:, None]
    sinks = torch.arange(min(layout.sinks, layout.frames), device=device)
    window = frame - reach(layout) + torch.arange(reach(layout), device=device)
    context = torch.ones(layout.frames, layout.context, dtype=torch.bool, device=device)
    parts = [
        (sinks < frame).repeat_interleave(layout.tokens, 1),
        (window >= layout.sinks).repeat_interleave(layout.tokens, 1),
    ]
    return torch.cat([context, *parts], 1).unsqueeze(1)


def own_frame(layout: Layout, device: torch.device) -> Tensor:
    """bool [1, 1 or N, N]: what the tokens of a frame see of each other."""
    if layout.order == "together":
        return torch.ones(1, 1, layout.tokens, dtype=torch.bool, device=device)
    return torch.ones(1, layout.tokens, layout.tokens, dtype=torch.bool, device=device).tril()


def attend_rows(q_BTNHD: Tensor, keys_BTKMD: Tensor, values_BTKMD: Tensor, mask: Tensor) -> Tensor:
    """Every frame over its own row; mask bool [T, 1 or N, M]; [B, T, N, H, D]."""
    batch, frames, tokens, heads, channels = q_BTNHD.shape
    shared = keys_BTKMD.shape[2]
    groups = heads // shared
    folded = (
        torch.unflatten(q_BTNHD, 3, (shared, groups))
        .permute(0, 1, 3, 4, 2, 5)
        .reshape(-1, shared, groups * tokens, channels)
    )
    rows = mask if mask.shape[1] == 1 else mask.repeat(1, groups, 1)
    allowed = rows.expand(batch, -1, -1, -1).flatten(0, 1).unsqueeze(1)
    out = F.scaled_dot_product_attention(folded, keys_BTKMD.flatten(0, 1), values_BTKMD.flatten(0, 1), allowed)
    out = out.view(batch, frames, shared, groups, tokens, channels)
    return out.permute(0, 1, 4, 2, 3, 5).flatten(3, 4)


def flex(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    run, mask = flex_for(layout, q.device)
    out: Tensor = run(
        *(each.transpose(1, 2) for each in (q, k, v)), block_mask=mask, enable_gqa=q.shape[2] != k.shape[2]
    )
    return out.transpose(1, 2)


@functools.lru_cache(maxsize=8)
def flex_for(layout: Layout, device: torch.device) -> tuple[Callable[..., Any], Any]:
    """flex_attention, compiled where that pays, and the block mask of a layout."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def allowed(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return layout.may_see(query, key)

    mask = create_block_mask(allowed, None, None, layout.length, layout.length, device=str(device))
    run: Any = torch.compile(flex_attention) if device.type == "cuda" else flex_attention
    return run, mask


def flash_can(q: Tensor) -> bool:
    """flash-attn: installed, on a GPU that it serves, in half precision, without gradients to keep."""
    return q.is_cuda and q.dtype in (torch.float16, torch.bfloat16) and flash_module() is not None


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
    "flex": flex,
    "dense": dense,
    "oracle": oracle,
}
