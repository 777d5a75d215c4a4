"""Ids out of logits: temperature, cuts, and the draw. Pure functions of a row of logits and its uniform number."""

from typing import NamedTuple

import torch
from torch import Tensor

from prior.interface import Proposal
from prior.vocabulary import Vocabulary
from sampling.config import SamplerConfig

FEW = 64  # tokens that mostly hold nearly all of the probability


class Choice(NamedTuple):
    """A token for each place that was asked about, and how sure the prior is of it."""

    ids: Tensor  # int64 [B, h, w], or [B, M]
    confidence: Tensor  # float32, the same; log-probability under the logits as they came, before temperature and cuts


def choose(
    proposal: Proposal, vocabulary: Vocabulary, sampler: SamplerConfig, uniforms_BhwD: Tensor, weighed: bool = True
) -> Choice:
    """Digit after digit, each by a uniform number of its own; where nobody asks how sure that is, it is not `weighed`
    and all confidence is 0."""
    digits_BhwD = torch.empty_like(uniforms_BhwD[..., :0], dtype=torch.int64)
    confidence = torch.zeros_like(uniforms_BhwD[..., 0], dtype=torch.float32)
    for uniforms_Bhw in uniforms_BhwD.unbind(-1):
        logits_BhwV = proposal.logits(digits_BhwD)
        digit = pick(logits_BhwV, sampler, uniforms_Bhw).unsqueeze(-1)
        if weighed:
            confidence = confidence + logits_BhwV.log_softmax(-1).gather(-1, digit).squeeze(-1)
        digits_BhwD = torch.cat([digits_BhwD, digit], -1)
    return Choice(vocabulary.to_ids(digits_BhwD), confidence)


def pick(logits_V: Tensor, sampler: SamplerConfig, uniforms: Tensor) -> Tensor:
    """Logits [..., V] and uniforms [...] to int64 [...]; cuts are made after the temperature has done its work."""
    if sampler.temperature == 0:
        return logits_V.argmax(-1)
    logits_V = tempered(logits_V, sampler.temperature)
    if sampler.top_k:
        logits_V = top_k(logits_V, sampler.top_k)
    if sampler.top_p is not None:
        logits_V = top_p(logits_V, sampler.top_p)
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
