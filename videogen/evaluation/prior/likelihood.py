"""How well a prior foretells clips of ids that it has not seen: nats a token, and what they are to be compared with.

For masked frames every number of masked tokens, 1 .. N, is asked for equally often. The mean over a frame's masked
tokens is then, in the mean over numbers and orders, the cost of deciding the frame token after token in a random order:
an upper bound of -log p(frame) / N. For the next-token objective the figure is that likelihood itself. So the two
compare, and in bits a pixel so do different tokenizers.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prior.digits import Answers
from prior.model import Lesson
from prior.objective import even_counts, masks, mean_over_frames
from prior.text import Text
from prior.vocabulary import Vocabulary
from videogen.tokens import TokenSet

QUARTERS = 4
GOLDEN = (math.sqrt(5) - 1) / 2  # multiples of it fill [0, 1) evenly, however many there are
MAX_CLIPS = 4096  # clips of the training set that a baseline is made of
Predict = Callable[[Lesson], Answers]


@dataclass(frozen=True)
class LikelihoodSums:
    """Nats, right guesses and frames, by place in the clip [T] and by the quarter of masked tokens [4]."""

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
        """The mean does as well as the sum: all figures are ratios."""
        return LikelihoodSums(mean(self.by_frame).cpu(), mean(self.by_quarter).cpu())


class FrameLikelihoods(NamedTuple):
    """Of each latent frame of some clips: nats a token, the share of right guesses, and of tokens that were masked."""

    nats_BT: Tensor
    right_BT: Tensor
    ratio_BT: Tensor

    def of(self, clips: slice) -> "FrameLikelihoods":
        return FrameLikelihoods(*(each[clips] for each in self))


def frame_likelihoods(
    answer: Predict, ids_BThw: Tensor, text: Text | None, masked: bool, vocabulary: Vocabulary, first: int
) -> FrameLikelihoods:
    """What a prior makes of a batch; `first` is the number of its first clip, which chooses the masks."""
    batch, frames, height, width = ids_BThw.shape
    tokens, device = height * width, ids_BThw.device
    hidden_BTN = torch.ones(batch, frames, tokens, dtype=torch.bool)
    if masked:
        hidden_BTN = even_masks(range(first, first + batch), frames, tokens)
    hidden_BThw = hidden_BTN.view(ids_BThw.shape).to(device)
    seen = torch.where(hidden_BThw, vocabulary.mask, ids_BThw) if masked else None
    answers = answer(Lesson(ids_BThw, ids_BThw, seen, text, torch.zeros(batch, device=device)))
    counted = hidden_BThw.flatten(2).float()
    nats_BT, right_BT = (mean_over_frames(each.flatten(2).float(), counted) for each in (answers.nats, answers.right))
    return FrameLikelihoods(nats_BT, right_BT, counted.mean(-1))


def even_masks(clips: range, frames: int, tokens: int) -> Tensor:
    """bool [B, T, N], a function of the clips' numbers alone."""
    numbers = torch.tensor([[clip * frames + frame for frame in range(frames)] for clip in clips], dtype=torch.float64)
    orders = [torch.rand(frames, tokens, generator=torch.Generator().manual_seed(clip)) for clip in clips]
    return masks(even_counts(numbers * GOLDEN % 1, tokens), torch.stack(orders))


def figures(sums: LikelihoodSums, tokens: int, pixels: int, f_t: int) -> dict[str, float]:
    """`pixels` are those of one picture; the first latent frame holds one picture, every later one `f_t`."""
    nats_T, right_T, count_T = sums.by_frame
    pictures_T = torch.full_like(count_T, f_t)
    pictures_T[0] = 1
    bits = (nats_T.sum() * tokens / math.log(2)).item()
    by_frame = {f"nats_frame_{t}": (nats_T[t] / count_T[t]).item() for t in range(len(count_T))}
    quarters = {
        f"nats_masked_{100 * (q + 1) // QUARTERS}": (nats / count).item()
        for q, (nats, _, count) in enumerate(sums.by_quarter.T)
        if count > 0
    }
    return {
        "nats": (nats_T.sum() / count_T.sum()).item(),
        "bits_per_pixel": bits / (pictures_T * count_T).sum().item() / pixels,
        "top_guess": (right_T.sum() / count_T.sum()).item(),
        **by_frame,
        **(quarters if len(quarters) > 1 else {}),
    }


@dataclass(frozen=True)
class Baseline:
    """What needs no network: how often each code occurs, and how often a token stays what it was."""

    logs_V: NDArray[np.float64]
    stays: float

    @staticmethod
    def of(tokens: TokenSet, rows: Iterable[int]) -> "Baseline":
        counts, same, pairs = np.zeros(tokens.description.vocabulary), 0, 0
        for row in list(rows)[:MAX_CLIPS]:
            ids = tokens.ids(int(row)).numpy()
            counts += np.bincount(ids.ravel(), minlength=len(counts))
            same, pairs = same + int((ids[1:] == ids[:-1]).sum()), pairs + ids[1:].size
        total = counts.sum()
        unseen = ((counts == 1).sum() + 1) / (total + 1)  # Good and Turing: how likely a code is a new one
        return Baseline(np.log((1 - unseen) * counts / total + unseen / len(counts)), same / max(1, pairs))

    def nats(self, clips: Iterable[NDArray[np.int64]]) -> dict[str, float]:
        """Of clips [T, h, w]: by frequency alone, and by copying the frame before."""
        marginal, copying, count = 0.0, 0.0, 0
        for ids in clips:
            logs = self.logs_V[ids]
            same = ids[1:] == ids[:-1]
            later = np.log((1 - self.stays) * np.exp(logs[1:]) + self.stays * same + 1e-300)
            marginal, copying = marginal - logs.sum(), copying - logs[0].sum() - later.sum()
            count += ids.size
        return {"nats_of_frequencies": marginal / count, "nats_of_copying": copying / count}
