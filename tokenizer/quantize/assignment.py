"""Soft assignments of N tokens to V codes; their N x V probabilities are computed in blocks and never all kept.

It is attention, with tokens as queries and codes as keys and values:

    s_nv = z_n . keys_v + bias_v      p_n = softmax(s_n)      mixture_n = sum_v p_nv values_v

With keys = 2 c / temperature and bias = -|c|^2 / temperature, p_n is the softmax of -|z_n - c_v|^2 / temperature:
the token's own |z_n|^2 changes no softmax. The gradient is written by hand and computes each block a second time,
because autograd would keep every block. With the slopes g of mixture, mean m, entropy H and logsumexp l:

    w_nv = g_n . values_v + gm_v / N
    ds_nv = p_nv (w_nv - sum_u p_nu w_nu - gH / N (log p_nv + H_n) + gl / N)

Legend: N tokens (of a block: n), D dimensions, V codes.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tokenizer.quantize.gumbel import gumbel_noise

BLOCK_SIZE = 1 << 20  # numbers of s in a block; larger ones are slower on a CPU
CUDA_BLOCK_SIZE = 1 << 24  # 64 MiB: few launches
MASKED = -1e25  # a logit whose probability is 0, but whose product with 0 is 0: infinity's is not a number


class Perturbation(NamedTuple):
    """What is done to the logits of a token before the softmax."""

    k: int | None = None  # only the k largest logits count
    seeds_N1: Tensor | None = None  # of Gumbel noise
    temperature: float | Tensor = 1.0  # by which the noise is divided


class Moments(NamedTuple):
    mean_V: Tensor  # of the tokens' probabilities
    entropy: Tensor  # the mean over tokens of the entropy of their probabilities, in nats
    logsumexp: Tensor  # the mean over tokens of the logarithm of the sum of exp(-squared distance / temperature)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it would write out every block
def moments(latents_ND: Tensor, codebook_VD: Tensor, temperature: float | Tensor) -> Moments:
    """What batch terms need of softmax(-squared distance / temperature)."""
    keys_VD, bias_V = _keys(codebook_VD.to(latents_ND.dtype), temperature)
    mean_V, entropy, shifted = _Moments.apply(latents_ND, keys_VD, bias_V)  # type: ignore[no-untyped-call]
    return Moments(mean_V, entropy, shifted - latents_ND.square().sum(-1).mean() / temperature)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def mixture(
    latents_ND: Tensor,
    codebook_VD: Tensor,
    temperature: float | Tensor,
    *,
    k: int | None = None,
    noisy: bool = False,
    hard_ND: Tensor | None = None,
) -> Tensor:
    """[N.., D]: p @ codebook, the mean of the codes by p = softmax((-squared distance + noise) / temperature).

    With `k`, p is of the k likeliest codes. Gumbel noise, if `noisy`, comes from torch's global generator, and the
    gradient sees the same. With the codes of the latents as `hard_ND` it is these, with the gradient of
    (one_hot + p - p.detach()) @ codebook: the latents get that of p, each chosen code that of its tokens as well.
    """
    codebook_VD, flat_ND = codebook_VD.to(latents_ND.dtype), latents_ND.reshape(-1, latents_ND.shape[-1])
    keys_VD, bias_V = _keys(codebook_VD, temperature)
    change = _perturbation(flat_ND, temperature, k, noisy)
    values_VD = codebook_VD if hard_ND is None else codebook_VD.detach()  # p.detach() takes the gradient of p's away
    given = flat_ND, keys_VD, bias_V, values_VD, None if hard_ND is None else hard_ND.reshape(flat_ND.shape), change
    mixed_ND: Tensor = _Mixture.apply(*given)  # type: ignore[no-untyped-call]
    return mixed_ND.view(latents_ND.shape)


def _keys(codebook_VD: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    return codebook_VD * (2 / temperature), codebook_VD.square().sum(-1) / -temperature


def _perturbation(latents_ND: Tensor, temperature: float | Tensor, k: int | None, noisy: bool) -> Perturbation:
    if not noisy:
        return Perturbation(k)
    seeds_N1 = torch.randint(-(2**62), 2**62, (len(latents_ND), 1), device=latents_ND.device)
    return Perturbation(k, seeds_N1, temperature)


class _Mixture(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        latents_ND: Tensor,
        keys_VD: Tensor,
        bias_V: Tensor,
        values_VD: Tensor,
        hard_ND: Tensor | None,
        change: Perturbation,
    ) -> Tensor:
        ctx.save_for_backward(latents_ND, keys_VD, bias_V, values_VD)
        ctx.change = change
        if hard_ND is not None:  # the value is known; only the gradient is that of the mixture
            return hard_ND.clone()
        mixture_ND = latents_ND.new_empty(len(latents_ND), values_VD.shape[1])
        for rows in _blocks(latents_ND, keys_VD):
            torch.mm(_probabilities(latents_ND, keys_VD, bias_V, rows, change), values_VD, out=mixture_ND[rows])
        return mixture_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_ND: Tensor) -> tuple[Tensor | None, ...]:
        latents_ND, keys_VD, bias_V, values_VD = ctx.saved_tensors
        slopes = _Slopes(latents_ND, keys_VD, bias_V)
        dvalues_VD = torch.zeros_like(values_VD) if ctx.needs_input_grad[3] else None
        for rows in _blocks(latents_ND, keys_VD):
            p_nV = _probabilities(latents_ND, keys_VD, bias_V, rows, ctx.change)
            if dvalues_VD is not None:
                dvalues_VD.addmm_(p_nV.T, g_ND[rows])
            w_nV = g_ND[rows] @ values_VD.T
            slopes.add(rows, w_nV.sub_(_dot(p_nV, w_nV)).mul_(p_nV))
        return *slopes.of_inputs, dvalues_VD, g_ND if ctx.needs_input_grad[4] else None, None


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latents_ND: Tensor, keys_VD: Tensor, bias_V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(latents_ND, keys_VD, bias_V)
        ctx.set_materialize_grads(False)
        mean_V, entropy, logsumexp = (bias_V.new_zeros(shape) for shape in ((len(bias_V),), (), ()))
        for rows in _blocks(latents_ND, keys_VD):
            logits_nV = _logits(latents_ND, keys_VD, bias_V, rows)
            sums_n1 = logits_nV.logsumexp(1, keepdim=True)
            logsumexp += sums_n1.sum()
            logs_nV = logits_nV.sub_(sums_n1)
            p_nV = logs_nV.exp()
            mean_V += p_nV.sum(0)
            entropy -= _dot(p_nV, logs_nV).sum()
        return mean_V / len(latents_ND), entropy / len(latents_ND), logsumexp / len(latents_ND)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_V: Tensor | None, g_H: Tensor | None, g_l: Tensor | None) -> tuple[Tensor | None, ...]:
        latents_ND, keys_VD, bias_V = ctx.saved_tensors
        slopes = _Slopes(latents_ND, keys_VD, bias_V)
        for rows in _blocks(latents_ND, keys_VD):
            logits_nV = _logits(latents_ND, keys_VD, bias_V, rows)
            logs_nV = logits_nV.sub_(logits_nV.logsumexp(1, keepdim=True))
            p_nV = logs_nV.exp()
            w_nV = logs_nV.sub_(_dot(p_nV, logs_nV)).mul_(0 if g_H is None else -g_H)
            if g_V is not None:
                w_nV += g_V - (p_nV @ g_V).unsqueeze(1)
            if g_l is not None:
                w_nV += g_l
            slopes.add(rows, w_nV.mul_(p_nV).div_(len(latents_ND)))
        return slopes.of_inputs


class _Slopes:
    """The gradients of latents, keys and bias, gathered from those of the logits, a block at a time."""

    def __init__(self, latents_ND: Tensor, keys_VD: Tensor, bias_V: Tensor):
        self.latents_ND, self.keys_VD = latents_ND, keys_VD
        self.of_inputs = torch.empty_like(latents_ND), torch.zeros_like(keys_VD), torch.zeros_like(bias_V)

    def add(self, rows: slice, slopes_nV: Tensor) -> None:
        dlatents_ND, dkeys_VD, dbias_V = self.of_inputs
        torch.mm(slopes_nV, self.keys_VD, out=dlatents_ND[rows])
        dkeys_VD.addmm_(slopes_nV.T, self.latents_ND[rows])
        dbias_V += slopes_nV.sum(0)


def _logits(latents_ND: Tensor, keys_VD: Tensor, bias_V: Tensor, rows: slice) -> Tensor:
    return torch.addmm(bias_V, latents_ND[rows], keys_VD.T)


def _probabilities(latents_ND: Tensor, keys_VD: Tensor, bias_V: Tensor, rows: slice, change: Perturbation) -> Tensor:
    logits_nV = _logits(latents_ND, keys_VD, bias_V, rows)
    if change.seeds_N1 is not None:
        noise_nV = gumbel_noise(change.seeds_N1[rows], len(bias_V)).to(logits_nV.dtype)
        logits_nV += noise_nV.div_(change.temperature)
    if change.k is not None:
        largest_nk, places_nk = logits_nV.topk(change.k, dim=1)
        logits_nV.fill_(MASKED).scatter_(1, places_nk, largest_nk)
    return logits_nV.softmax(1)  # one pass, where logarithms would take three


def _dot(left_nV: Tensor, right_nV: Tensor) -> Tensor:
    """[n, 1]: the sum of products of each row, without a block for the products."""
    return torch.bmm(left_nV.unsqueeze(1), right_nV.unsqueeze(2)).squeeze(2)


def _blocks(latents_ND: Tensor, keys_VD: Tensor) -> Iterator[slice]:
    rows = max(1, (CUDA_BLOCK_SIZE if latents_ND.is_cuda else BLOCK_SIZE) // len(keys_VD))
    return (slice(start, start + rows) for start in range(0, len(latents_ND), rows))
