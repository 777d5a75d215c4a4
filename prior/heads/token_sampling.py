"""Samples codes from logits: guidance, temperature, top-k, top-p, draw. Pure functions of logits and random numbers."""

from collections.abc import Callable

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenRNG

FEW = 64  # codes that usually have nearly all of the probability


def sample_codes(
    logits: Callable[[Tensor], Tensor], depth: int, settings: DrawSettings, rng: TokenRNG
) -> tuple[Tensor, Tensor]:
    """Codes [B, M, depth], one uniform number for each, and their log-probability [B, M].

    `logits` maps the codes so far [B, M, k] to the logits [B, M, V] of the next one; with guidance it takes and returns
    twice as many rows. Without `settings.confidence` the log-probability is 0.
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
    """The logits, with 0 for NaN and infinity; sets `broken` in place if there are any."""
    if broken is None:
        return logits
    broken |= ~logits.sum(dtype=torch.float32).isfinite()  # one NaN or infinity makes the sum NaN or infinite
    return logits.nan_to_num(0.0, 0.0, 0.0)


def apply_guidance(logits_2B: Tensor, scale: float | Tensor) -> Tensor:
    """without + scale * (with - without), on logits.

    Classifier-free guidance, published as Ho and Salimans, "Classifier-free diffusion guidance" (2022). The first half
    of the rows is with text. `scale` is a number, or float32 [B]. Logits must be finite.
    """
    with_text, without_text = logits_2B.chunk(2)
    if isinstance(scale, Tensor):
        scale = scale.view(-1, *(1,) * (without_text.ndim - 1))
    return without_text + scale * (with_text - without_text)


def pick(logits_V: Tensor, settings: DrawSettings, uniforms: Tensor) -> Tensor:
    """Logits [..., V] and uniforms [...] to codes int64 [...]; temperature first, then top-k and top-p."""
    if settings.temperature == 0:
        return logits_V.argmax(-1)
    logits_V = apply_temperature(logits_V, settings.temperature)
    if settings.top_k:
        logits_V = top_k(logits_V, settings.top_k)
    if settings.top_p is not None:
        logits_V = top_p(logits_V, settings.top_p)
    return draw(logits_V.softmax(-1), uniforms)


def apply_temperature(logits_V: Tensor, temperature: float) -> Tensor:
    """Divides by the temperature; subtracts the maximum first, so that low temperatures do not overflow."""
    return (logits_V - logits_V.amax(-1, keepdim=True)) / temperature


def top_k(logits_V: Tensor, k: int) -> Tensor:
    """Sets all but the k largest to -infinity; values equal to the kth stay."""
    if k >= logits_V.shape[-1]:
        return logits_V
    kth = logits_V.topk(k, dim=-1).values[..., -1:]
    return logits_V.masked_fill(logits_V < kth, -torch.inf)


def top_p(logits_V: Tensor, p: float) -> Tensor:
    """Sets all to -infinity but the fewest that together have probability p, at least one; equal values stay."""
    if p >= 1:
        return logits_V
    probabilities_V = logits_V.softmax(-1)
    descending = largest(probabilities_V, p)
    before = descending.cumsum(-1, dtype=torch.float64) - descending
    least = descending.masked_fill(before >= p, torch.inf).amin(-1, keepdim=True)
    return logits_V.masked_fill(probabilities_V < least, -torch.inf)


def largest(probabilities_V: Tensor, p: float) -> Tensor:
    """The largest values of each row, descending, enough for probability p; much faster on a CPU than a full sort."""
    size, whole = FEW, probabilities_V.shape[-1]
    descending = probabilities_V.topk(min(size, whole), dim=-1).values
    while size < whole and (descending.sum(-1, dtype=torch.float64) < p).any():
        size *= 4
        descending = probabilities_V.topk(min(size, whole), dim=-1).values
    return descending


def draw(probabilities_V: Tensor, uniforms: Tensor) -> Tensor:
    """Inverse transform sampling, int64 [...]; never an entry with probability 0.

    The sums are float64, so that a uniform number times the total stays below the total.
    """
    sums = probabilities_V.cumsum(-1, dtype=torch.float64)
    aims = uniforms.unsqueeze(-1) * sums[..., -1:]
    return torch.searchsorted(sums, aims, right=True).squeeze(-1)
