"""Exact entropies of codes made of independent bits: bit i is set with probability sigmoid(logits[:, i]).

A token's distribution over all 2^D codes is a product over its bits. So its entropy is a sum over bits; and the mean
distribution of N tokens is one matrix product, once the bits are split in halves A and B:

    p(c | n) = P(a | n) P(b | n)          mean_ab = sum_n P(a | n) P(b | n) / N = (PA^T PB)_ab / N

Nothing of size N x 2^D is computed, only N x 2^(D/2), in chunks. The gradient is written by hand, because autograd
would keep every chunk: dP(a | n) / dlogit_ni = P(a | n) (bit_ai - p_ni).

Legend: N tokens, D bits, A and B codes of the lower and the upper half of the bits.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MAX_BITS = 24  # 2^24 numbers for the mean distribution, 64 MiB
CHUNK_SIZE = 1 << 22  # numbers of P(a | n) per chunk


def sample_entropy(logits_ND: Tensor) -> Tensor:
    """The mean over tokens of the entropy of a token's code, in nats: a scalar in [0, D log 2]."""
    return (F.softplus(logits_ND) - logits_ND * torch.sigmoid(logits_ND)).sum(-1).mean()


def batch_entropy(logits_ND: Tensor) -> Tensor:
    """The entropy of the mean distribution over all 2^D codes, in nats: a scalar in [0, D log 2]."""
    if not 1 <= logits_ND.shape[-1] <= MAX_BITS:
        raise ValueError(f"{logits_ND.shape[-1]} bits: expected 1 to {MAX_BITS} for the joint entropy")
    return _BatchEntropy.apply(logits_ND.flatten(0, -2))  # type: ignore[no-any-return, no-untyped-call]


class _BatchEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_ND: Tensor) -> Tensor:
        half = logits_ND.shape[1] // 2
        mean_AB = logits_ND.new_zeros(2**half, 2 ** (logits_ND.shape[1] - half))
        for chunk_ND in chunks(logits_ND):
            mean_AB.addmm_(code_probabilities(chunk_ND[:, :half]).T, code_probabilities(chunk_ND[:, half:]))
        mean_AB /= len(logits_ND)
        ctx.save_for_backward(logits_ND, mean_AB)
        return -torch.xlogy(mean_AB, mean_AB).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        logits_ND, mean_AB = ctx.saved_tensors
        half = logits_ND.shape[1] // 2
        tiny = torch.finfo(mean_AB.dtype).tiny  # where the mean is 0, both factors are: any finite slope works
        slope_AB = -(mean_AB.clamp_min(tiny).log() + 1) * (gradient / len(logits_ND))
        slopes = []
        for chunk_ND in chunks(logits_ND):
            lower_NA, upper_NB = code_probabilities(chunk_ND[:, :half]), code_probabilities(chunk_ND[:, half:])
            lower = logit_gradient(chunk_ND[:, :half], (upper_NB @ slope_AB.T).mul_(lower_NA))
            upper = logit_gradient(chunk_ND[:, half:], (lower_NA @ slope_AB).mul_(upper_NB))
            slopes.append(torch.cat([lower, upper], dim=1))
        return torch.cat(slopes)


def logit_gradient(logits_ND: Tensor, weighted_NC: Tensor) -> Tensor:
    """The gradient of the logits, given the gradient of each code's probability times that probability."""
    bits_CD = bits_of(torch.arange(weighted_NC.shape[1], device=logits_ND.device), logits_ND.shape[1])
    return weighted_NC @ bits_CD.to(weighted_NC.dtype) - logits_ND.sigmoid() * weighted_NC.sum(1, keepdim=True)


def code_probabilities(logits_ND: Tensor) -> Tensor:
    """[N, 2^D]: the probability of every code; bit i of the code's number is dimension i."""
    set_DN1, unset_DN1 = logits_ND.sigmoid().T.unsqueeze(-1), (-logits_ND).sigmoid().T.unsqueeze(-1)
    codes_NC = logits_ND.new_ones(len(logits_ND), 1)
    for set_N1, unset_N1 in zip(set_DN1, unset_DN1, strict=True):
        codes_NC = torch.cat([codes_NC * unset_N1, codes_NC * set_N1], dim=1)
    return codes_NC


def bits_of(numbers_N: Tensor, bits: int) -> Tensor:
    """int64 [N.., D] of 0 and 1, the lowest bit first."""
    return numbers_N.unsqueeze(-1) >> torch.arange(bits, device=numbers_N.device) & 1


def chunks(logits_ND: Tensor) -> tuple[Tensor, ...]:
    upper = logits_ND.shape[1] - logits_ND.shape[1] // 2
    return torch.split(logits_ND, max(1, CHUNK_SIZE >> upper))
