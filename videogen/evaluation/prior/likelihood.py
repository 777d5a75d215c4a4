"""Negative log-likelihood of held-out clips in nats per token, and baselines without a network.

Under the masked objective every number of masked tokens, 1 .. N, is equally frequent. The mean over masked tokens then
estimates the cost of sampling the frame token by token in a random order: an upper bound of -log p(frame) / N. Under
the autoregressive objective the figure is that likelihood itself, so the two are comparable, and in bits per pixel so
are different tokenizers.

Each group of tokens is evaluated in its own pass, with the earlier groups known.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.heads.base import TokenLosses
from prior.model import PriorBatch
from prior.objective import even_counts, masks, mean_over_frames
from videogen.tokens import TokenSet

QUARTERS = 4
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples modulo 1 are spread evenly over [0, 1)
MAX_CLIPS = 4096  # of the training set, for a baseline
MAX_JOINT = 1 << 22  # different tokens; above that a baseline counts each code separately
Losses = Callable[[PriorBatch], TokenLosses]


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

    def plus(self, frames: "FrameLikelihoods") -> "LikelihoodSums":
        nats_BT, right_BT, ratio_BT = frames
        values = torch.stack([nats_BT, right_BT, torch.ones_like(nats_BT)]).double().cpu()
        quarter = (ratio_BT.cpu() * QUARTERS).ceil().long().clamp(1, QUARTERS) - 1
        by_quarter = torch.zeros_like(self.by_quarter).index_add_(1, quarter.flatten(), values.flatten(1))
        return LikelihoodSums(self.by_frame + values.sum(1), self.by_quarter + by_quarter)

    def over_processes(self, mean: Callable[[Tensor], Tensor]) -> "LikelihoodSums":
        """Averaged over processes; the mean serves as well as the sum, because all figures are ratios."""
        return LikelihoodSums(mean(self.by_frame).cpu(), mean(self.by_quarter).cpu())


class FrameLikelihoods(NamedTuple):
    """For each latent frame of a batch: nats per token, top-1 accuracy, and the share of masked tokens."""

    nats_BT: Tensor
    right_BT: Tensor
    ratio_BT: Tensor

    def of(self, clips: slice) -> "FrameLikelihoods":
        return FrameLikelihoods(*(each[clips] for each in self))


def frame_likelihoods(
    losses: Losses,
    codes_BTNK: Tensor,
    spec: TokenSpec,
    masked: bool,
    text: Text | None,
    control: Tensor | None,
    first: int,
) -> FrameLikelihoods:
    """Evaluates a batch; `first` is the number of its first clip, which determines the masks."""
    clips = range(first, first + len(codes_BTNK))
    noise_B = torch.zeros(len(codes_BTNK), device=codes_BTNK.device)

    def run(known: Tensor | None) -> TokenLosses:
        return losses(PriorBatch(codes_BTNK, codes_BTNK, known, text, noise_B, spec, control))

    if not masked:
        everything = torch.ones(codes_BTNK.shape[:3], device=codes_BTNK.device)
        return of_frames(run(None), everything)
    parts = [
        of_frames(run(known_BTN.to(codes_BTNK.device)), asked_BTN.to(codes_BTNK.device).float())
        for known_BTN, asked_BTN in group_masks(clips, codes_BTNK.shape[1], spec)
    ]
    return parts[0] if len(parts) == 1 else mean_over_groups(parts, spec)


def mean_over_groups(parts: Sequence[FrameLikelihoods], spec: TokenSpec) -> FrameLikelihoods:
    """Groups weighted by their tokens; the masking ratio counts the tokens that all passes together have masked."""
    shares = torch.tensor([group.tokens / spec.tokens for group in spec.groups])
    nats_BT, right_BT = (
        torch.stack(each, -1) @ shares.to(each[0])
        for each in zip(*((p.nats_BT, p.right_BT) for p in parts), strict=True)
    )
    return FrameLikelihoods(nats_BT, right_BT, torch.stack([part.ratio_BT for part in parts]).sum(0))


def of_frames(losses: TokenLosses, asked_BTN: Tensor) -> FrameLikelihoods:
    nats_BT, right_BT = (mean_over_frames(each.float(), asked_BTN) for each in (losses.nats, losses.right))
    return FrameLikelihoods(nats_BT, right_BT, asked_BTN.mean(-1))


def group_masks(clips: range, frames: int, spec: TokenSpec) -> Iterable[tuple[Tensor, Tensor]]:
    """For each group the known and the evaluated tokens, bool [B, T, N], determined by the numbers of the clips."""
    numbers = torch.tensor([[clip * frames + frame for frame in range(frames)] for clip in clips], dtype=torch.float64)
    orders = [torch.rand(frames, spec.tokens, generator=torch.Generator().manual_seed(clip)) for clip in clips]
    ratio_BT, order_BTN = numbers * GOLDEN % 1, torch.stack(orders)
    for group, part in zip(spec.groups, spec.slices, strict=True):
        asked_BTN = torch.zeros(order_BTN.shape, dtype=torch.bool)
        asked_BTN[..., part] = masks(even_counts(ratio_BT, group.tokens), order_BTN[..., part])
        known_BTN = ~asked_BTN
        known_BTN[..., part.stop :] = False
        yield known_BTN, asked_BTN


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
