"""Entropies of codes: the bits that an ideal entropy coder needs for a code.

Legend: C clips, T latent frames, N tokens of a latent frame, U different entries.
"""

import math

import torch
from torch import Tensor

TOKENS_PER_PAIR = 4  # for each different pair: the entropy is then about 1 / (8 ln 2) = 0.18 bits too low at most


def entropy_bits(counts_U: Tensor) -> float:
    """The entropy of the distribution with these counts."""
    p_U = counts_U[counts_U > 0].double() / counts_U.sum()
    return abs(float((p_U * p_U.log2()).sum()))


def conditional_bits(entries_CTN: Tensor) -> float | None:
    """The entropy of an entry given the one at the same place in the latent frame before.

    None where the tokens are too few: pairs that are seen once look certain.
    """
    seen_U, numbers_CTN = torch.unique(entries_CTN, return_inverse=True)
    before, after = numbers_CTN[:, :-1].flatten(), numbers_CTN[:, 1:].flatten()
    pairs = torch.unique(before * len(seen_U) + after, return_counts=True)[1]
    if not TOKENS_PER_PAIR * len(pairs) <= len(before) or not len(before):
        return None
    return max(0.0, entropy_bits(pairs) - entropy_bits(torch.bincount(before)))


def size_bits(size: int) -> float:
    """The bits of a code without entropy coding."""
    return math.log2(size)
