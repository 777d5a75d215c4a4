"""Mutual information between what is guessed and what is true, adjusted for chance.

    (I(guess; truth) - expected I by chance) / (H(truth) - expected I by chance)

Information counted on a finite sample is above 0 even if the two have nothing to do with each other. What chance alone
gives is known exactly for tables with the same margins (Vinh et al., 2010), so the result is 1 for a guess that
determines the truth and 0 on average for one that does not depend on it.
"""

import torch
from torch import Tensor


def adjusted_information(guess_C: Tensor, truth_C: Tensor, values: int) -> float:
    """Of C pairs of numbers below `values`; the truth must have at least two different ones."""
    table_GV = torch.bincount(guess_C * values + truth_C, minlength=values * values).view(values, values).double()
    rows_G, columns_V = table_GV.sum(1), table_GV.sum(0)
    chance = expected_information(rows_G, columns_V)
    counted = entropy(rows_G) + entropy(columns_V) - entropy(table_GV.flatten())
    return float((counted - chance) / (entropy(columns_V) - chance))


def entropy(counts: Tensor) -> Tensor:
    """In nats, of the shares of these counts."""
    shares = counts / counts.sum()
    return -torch.xlogy(shares, shares).sum()


def expected_information(rows_G: Tensor, columns_V: Tensor) -> Tensor:
    """The mean mutual information in nats of all pairings with these counts, float64.

    Each entry of the table then follows a hypergeometric distribution over its possible values m.
    """
    a, b, n = rows_G[:, None, None], columns_V[None, :, None], rows_G.sum()
    m = torch.arange(1, int(min(rows_G.max(), columns_V.max())) + 1, dtype=torch.float64)
    possible = (m <= torch.minimum(a, b)) & (m >= a + b - n)
    ways = log_binomial(b, m) + log_binomial(n - b, a - m) - log_binomial(n, a)
    information = m / n * (n * m / (a * b)).log()
    return torch.where(possible, ways.exp() * information, 0.0).sum()


def log_binomial(n: Tensor, k: Tensor) -> Tensor:
    """log(n choose k); meaningless where 0 <= k <= n does not hold."""
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
