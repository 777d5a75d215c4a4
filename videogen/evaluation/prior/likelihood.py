"""Negative log-likelihood of held-out clips (see `prior.likelihood`), and baselines without a network."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.likelihood import FrameLikelihoods
from videogen.tokens import TokenSet

QUARTERS = 4
MAX_CLIPS = 4096  # of the training set, for a baseline
MAX_JOINT = 1 << 22  # different tokens; above that a baseline counts each code separately


@dataclass(frozen=True)
class LikelihoodSums:
    """Sums of nats, correct top-1 guesses and frames, by latent frame and by quarter of the masking ratio."""

    by_frame: Tensor  # float64 [3, T]
    by_quarter: Tensor  # float64 [3, 4]

    @staticmethod
    def none(frames: int) -> "LikelihoodSums":
        return LikelihoodSums(
            torch.zeros(3, frames, dtype=torch.float64), torch.zeros(3, QUARTERS, dtype=torch.float64)
        )

    def plus(self, frames: FrameLikelihoods) -> "LikelihoodSums":
        nats_BT, right_BT, ratio_BT = frames
        values = torch.stack([nats_BT, right_BT, torch.ones_like(nats_BT)]).double().cpu()
        quarter = (ratio_BT.cpu() * QUARTERS).ceil().long().clamp(1, QUARTERS) - 1
        by_quarter = torch.zeros_like(self.by_quarter).index_add_(1, quarter.flatten(), values.flatten(1))
        return LikelihoodSums(self.by_frame + values.sum(1), self.by_quarter + by_quarter)

    def over_processes(self, mean: Callable[[Tensor], Tensor]) -> "LikelihoodSums":
        """Averaged over processes; the mean serves as well as the sum, because all figures are ratios."""
        return LikelihoodSums(mean(self.by_frame).cpu(), mean(self.by_quarter).cpu())


def score_name(likelihood: bool) -> str:
    """What figures begin with: a head without a likelihood has a training loss only."""
    return "nats" if likelihood else "loss"


def figures(sums: LikelihoodSums, spec: TokenSpec, pixels: int, likelihood: bool = True) -> dict[str, float]:
    """Ratios of the sums; `pixels` counts those of one frame."""
    nats_T, right_T, count_T = sums.by_frame
    name = score_name(likelihood)
    frames_T = torch.full_like(count_T, spec.frames_per_latent)
    frames_T[0] = spec.first_frames
    bits = (nats_T.sum() * spec.tokens / math.log(2)).item()
    by_frame = {f"{name}_frame_{t}": (nats_T[t] / count_T[t]).item() for t in range(len(count_T))}
    quarters = {
        f"{name}_masked_{100 * (q + 1) // QUARTERS}": (nats / count).item()
        for q, (nats, _, count) in enumerate(sums.by_quarter.T)
        if count > 0
    }
    exact = {
        "bits_per_pixel": bits / (frames_T * count_T).sum().item() / pixels,
        "top_guess": (right_T.sum() / count_T.sum()).item(),
    }
    return {
        name: (nats_T.sum() / count_T.sum()).item(),
        **(exact if likelihood else {}),
        **by_frame,
        **(quarters if len(quarters) > 1 else {}),
    }


@dataclass(frozen=True)
class Baseline:
    """Predictions without a network: token frequencies, and the share of tokens that repeat the latent frame before.

    If there are too many different tokens, each code is counted separately. Continuous tokens have no baseline.
    """

    logs: tuple[NDArray[np.float64], ...]  # of the frequencies of tokens, or of each code
    stays: float

    @staticmethod
    def of(tokens: TokenSet, rows: Iterable[int]) -> "Baseline | None":
        spec = tokens.description.spec
        if spec.continuous:
            return None
        counts, same, pairs = [np.zeros(size) for size in counted_sizes(spec)], 0, 0
        for row in list(rows)[:MAX_CLIPS]:
            symbols_TNS = counted_symbols(tokens.codes(int(row)).numpy(), spec)
            for place, count in enumerate(counts):
                count += np.bincount(symbols_TNS[..., place].ravel(), minlength=len(count))
            same += int((symbols_TNS[1:] == symbols_TNS[:-1]).all(-1).sum())
            pairs += symbols_TNS[1:, :, 0].size
        return Baseline(tuple(log_frequencies(count) for count in counts), same / max(1, pairs))

    def nats(self, codes_BTNK: NDArray[np.int64], spec: TokenSpec) -> dict[str, float]:
        """Nats per token, by frequency alone and by copying the latent frame before."""
        frequencies, copying, count = 0.0, 0.0, 0
        for codes_TNK in codes_BTNK:
            symbols_TNS = counted_symbols(codes_TNK, spec)
            logs_TN = sum(logs[symbols_TNS[..., place]] for place, logs in enumerate(self.logs))
            assert not isinstance(logs_TN, int)
            same_TN = (symbols_TNS[1:] == symbols_TNS[:-1]).all(-1)
            later_TN = np.log((1 - self.stays) * np.exp(logs_TN[1:]) + self.stays * same_TN + 1e-300)
            frequencies, copying = frequencies - logs_TN.sum(), copying - logs_TN[0].sum() - later_TN.sum()
            count += logs_TN.size
        return {"nats_of_frequencies": frequencies / count, "nats_of_copying": copying / count}


def counted_sizes(spec: TokenSpec) -> tuple[int, ...]:
    whole = math.prod(spec.codebooks)
    return (whole,) if whole <= MAX_JOINT else spec.codebooks


def counted_symbols(codes_TNK: NDArray[np.int64], spec: TokenSpec) -> NDArray[np.int64]:
    """[T, N, 1] of whole tokens, or the codes [T, N, K]."""
    if len(counted_sizes(spec)) == len(spec.codebooks):
        return codes_TNK
    factors = np.cumprod([1, *spec.codebooks[:-1]])
    symbols_TN1: NDArray[np.int64] = (codes_TNK * factors).sum(-1, keepdims=True)
    return symbols_TN1


def log_frequencies(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Good-Turing: the share of symbols seen once is the probability of an unseen one."""
    total = counts.sum()
    unseen = ((counts == 1).sum() + 1) / (total + 1)
    logs: NDArray[np.float64] = np.log((1 - unseen) * counts / total + unseen / len(counts))
    return logs
