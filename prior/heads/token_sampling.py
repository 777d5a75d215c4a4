"""Samples codes from logits: guidance, temperature, top-k, top-p, draw. Pure functions of logits and random numbers."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenCoder, TokenSource

FEW = 64  # codes that usually have nearly all of the probability


def code_at(place: int, codes_BMK: Tensor) -> Tensor:
    return codes_BMK[..., place]


def sample_codes(
    logits: Callable[[Tensor], Tensor],
    depth: int,
    settings: DrawSettings,
    rng: TokenSource,
    symbol: Callable[[int, Tensor], Tensor] = code_at,
) -> tuple[Tensor, Tensor]:
    """Codes [B, M, depth], one uniform number for each, and `settings.score` of each token [B, M].

    `logits` maps the codes so far [B, M, k] to the logits [B, M, V] of the next one; with guidance it takes and returns
    twice as many rows. `symbol` gives the code at a place of tokens [B, M, K]; a TokenCoder may ask for it.
    """
    if isinstance(rng, TokenCoder):
        return coded(logits, depth, settings, rng, symbol)
    uniforms_BMK = rng.uniforms(depth)
    codes_BMK = torch.empty_like(uniforms_BMK[..., :0], dtype=torch.int64)
    score_BM = torch.zeros_like(uniforms_BMK[..., 0], dtype=torch.float32)
    for uniforms_BM in uniforms_BMK.unbind(-1):
        logits_BMV = guided_logits(logits, codes_BMK, settings)
        code_BM = pick(logits_BMV, settings, uniforms_BM)
        if settings.score == "log_probability":
            score_BM = score_BM + log_probability_of(logits_BMV, code_BM)
        elif settings.score == "entropy":
            score_BM = score_BM + entropy(logits_BMV, settings)
        codes_BMK = torch.cat([codes_BMK, code_BM.unsqueeze(-1)], -1)
    return codes_BMK, score_BM


def coded(
    logits: Callable[[Tensor], Tensor],
    depth: int,
    settings: DrawSettings,
    coder: TokenCoder,
    symbol: Callable[[int, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """The codes that the coder decides, and 0 as the score of each token."""
    codes_BMK = coder.none()
    for place in range(depth):
        probabilities_BMV = probabilities(guided_logits(logits, codes_BMK, settings), settings)
        code_BM = coder.code(probabilities_BMV, partial(symbol, place))
        codes_BMK = torch.cat([codes_BMK, code_BM.unsqueeze(-1)], -1)
    return codes_BMK, torch.zeros_like(codes_BMK[..., 0], dtype=torch.float32)


def log_probability(logits: Callable[[Tensor], Tensor], codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
    """float32 [B, M]: the log-probability of given tokens, before temperature, top-k and top-p."""
    total_BM = torch.zeros_like(codes_BMK[..., 0], dtype=torch.float32)
    for place, code_BM in enumerate(codes_BMK.unbind(-1)):
        logits_BMV = guided_logits(logits, codes_BMK[..., :place], settings)
        total_BM = total_BM + log_probability_of(logits_BMV, code_BM)
    return total_BM


def guided_logits(logits: Callable[[Tensor], Tensor], codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
    """The finite logits [B, M, V] of the next code, after guidance."""
    inputs = codes_BMK if settings.guidance is None else torch.cat([codes_BMK, codes_BMK])
    logits_BMV = finite(logits(inputs), settings.broken)
    return logits_BMV if settings.guidance is None else apply_guidance(logits_BMV, settings.guidance)


def log_probability_of(logits_V: Tensor, code: Tensor) -> Tensor:
    return logits_V.log_softmax(-1).gather(-1, code.unsqueeze(-1)).squeeze(-1)


def entropy(logits_V: Tensor, settings: DrawSettings) -> Tensor:
    """The entropy in nats of what `pick` draws from; 0 at temperature 0, where nothing is drawn."""
    if settings.temperature == 0:
        return torch.zeros_like(logits_V[..., 0])
    terms_V: Tensor = torch.special.entr(probabilities(logits_V, settings))
    return terms_V.sum(-1)


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
    """Logits [..., V] and uniforms [...] to codes int64 [...]."""
    if settings.temperature == 0:
        return logits_V.argmax(-1)
    return draw(probabilities(logits_V, settings), uniforms)


def probabilities(logits_V: Tensor, settings: DrawSettings) -> Tensor:
    """Those that codes are drawn with, above temperature 0: temperature first, then top-k and top-p."""
    logits_V = apply_temperature(logits_V, settings.temperature)
    if settings.top_k:
        logits_V = top_k(logits_V, settings.top_k)
    if settings.top_p is not None:
        logits_V = top_p(logits_V, settings.top_p)
    return logits_V.softmax(-1)


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
