"""Codes out of logits: temperature, cuts, guidance and the draw. Pure functions of logits and uniform numbers."""

from collections.abc import Callable

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenRNG

FEW = 64  # codes that mostly hold nearly all of the probability


def sample_codes(
    logits: Callable[[Tensor], Tensor], depth: int, settings: DrawSettings, rng: TokenRNG
) -> tuple[Tensor, Tensor]:
    """Codes [B, M, depth], each by a uniform number of its own, and their log-probability [B, M].

    `logits` takes the codes so far [B, M, k] to the logits [B, M, V] of the next one; with guidance it takes and gives
    twice as many rows. Where nobody reads the log-probability it is not computed, and 0.
    """
    uniforms_BMK = rng.uniforms(depth)
    codes_BMK = torch.empty_like(uniforms_BMK[..., :0], dtype=torch.int64)
    confidence = torch.zeros_like(uniforms_BMK[..., 0], dtype=torch.float32)
    for uniforms_BM in uniforms_BMK.unbind(-1):
        inputs = codes_BMK if settings.guidance is None else torch.cat([codes_BMK, codes_BMK])
        logits_BMV = finite(logits(inputs), settings.broken)
        if settings.guidance is not None:
            logits_BMV = apply_guidance(logits_BMV, settings.guidance)
        code = pick(logits_BMV, settings, uniforms_BM).unsqueeze(-1)
        if settings.confidence:
            confidence = confidence + logits_BMV.log_softmax(-1).gather(-1, code).squeeze(-1)
        codes_BMK = torch.cat([codes_BMK, code], -1)
    return codes_BMK, confidence


def finite(logits: Tensor, broken: Tensor | None) -> Tensor:
    """The logits, zeros where they are not finite; `broken` is set in place if there are any."""
    if broken is None:
        return logits
    broken |= ~logits.sum(dtype=torch.float32).isfinite()  # a single NaN or infinity spoils the sum
    return logits.nan_to_num(0.0, 0.0, 0.0)


def apply_guidance(logits_2B: Tensor, scale: float | Tensor) -> Tensor:
    """Without + scale * (with - without): odds move by the power `scale` of what the text does to them.

    Classifier-free guidance, published as Ho and Salimans, "Classifier-free diffusion guidance" (2022). The first half
    of the rows is with the text; `scale` is for all samples, or float32 [B]; logits must be finite.
    """
    with_text, without_text = logits_2B.chunk(2)
    if isinstance(scale, Tensor):
        scale = scale.view(-1, *(1,) * (without_text.ndim - 1))
    return without_text + scale * (with_text - without_text)


def pick(logits_V: Tensor, settings: DrawSettings, uniforms: Tensor) -> Tensor:
    """Logits [..., V] and uniforms [...] to int64 [...]; temperature first, then the cuts."""
    if settings.temperature == 0:
        return logits_V.argmax(-1)
    logits_V = tempered(logits_V, settings.temperature)
    if settings.top_k:
        logits_V = top_k(logits_V, settings.top_k)
    if settings.top_p is not None:
        logits_V = top_p(logits_V, settings.top_p)
    return draw(logits_V.softmax(-1), uniforms)


def tempered(logits_V: Tensor, temperature: float) -> Tensor:
    """Divided by the temperature; the largest becomes 0, so that even the coldest division stays a number."""
    return (logits_V - logits_V.amax(-1, keepdim=True)) / temperature


def top_k(logits_V: Tensor, k: int) -> Tensor:
    """All but the k largest made impossible; what equals the kth stays too, and k beyond the row cuts nothing."""
    if k >= logits_V.shape[-1]:
        return logits_V
    kth = logits_V.topk(k, dim=-1).values[..., -1:]
    return logits_V.masked_fill(logits_V < kth, -torch.inf)


def top_p(logits_V: Tensor, p: float) -> Tensor:
    """All made impossible but the fewest that together have probability p, at least one, and their equals."""
    if p >= 1:
        return logits_V
    probabilities_V = logits_V.softmax(-1)
    falling = head(probabilities_V, p)
    before = falling.cumsum(-1, dtype=torch.float64) - falling
    least = falling.masked_fill(before >= p, torch.inf).amin(-1, keepdim=True)
    return logits_V.masked_fill(probabilities_V < least, -torch.inf)


def head(probabilities_V: Tensor, p: float) -> Tensor:
    """The largest of each row, falling, as many as make p in every row; far cheaper on a CPU than to sort the rows."""
    size, whole = FEW, probabilities_V.shape[-1]
    falling = probabilities_V.topk(min(size, whole), dim=-1).values
    while size < whole and (falling.sum(-1, dtype=torch.float64) < p).any():
        size *= 4
        falling = probabilities_V.topk(min(size, whole), dim=-1).values
    return falling


def draw(probabilities_V: Tensor, uniforms: Tensor) -> Tensor:
    """By the inverse of the distribution: int64 [...], never what has probability 0.

    The sums are float64, and uniforms stay below 1 by so much that their product with the total stays below the total.
    """
    sums = probabilities_V.cumsum(-1, dtype=torch.float64)
    aims = uniforms.unsqueeze(-1) * sums[..., -1:]
    return torch.searchsorted(sums, aims, right=True).squeeze(-1)
