"""The Frechet distance of two sets of clips: the distance of Gaussians fitted to their features.

Introduced for images by Heusel et al., "GANs trained by a two time-scale update rule" (2017). It depends on the
features and on the number of clips: it falls towards its true value as the sets grow. So compare it with that of the
same number of true clips.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and covariance of features; covariance = axes diag(lengths^2) axes^T."""

    mean_F: Tensor
    axes_FR: Tensor
    lengths_R: Tensor
    clips: int

    @staticmethod
    def of(features_NF: Tensor, population: bool = False) -> "FeatureStatistics":
        """With `population` the covariance is the mean over all clips, else over one clip less."""
        features = features_NF.double().cpu()
        mean = features.mean(0)
        _, lengths, axes = torch.linalg.svd(features - mean, full_matrices=False)
        return FeatureStatistics(mean, axes.T, lengths / max(len(features) - (not population), 1) ** 0.5, len(features))


def frechet_distance(one: FeatureStatistics, other: FeatureStatistics) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)); 0 for equal statistics.

    The trace of the root is the sum of the singular values of C1^(1/2) C2^(1/2), which is exact also with fewer clips
    than features.
    """
    means = (one.mean_F - other.mean_F).square().sum()
    spreads = one.lengths_R.square().sum() + other.lengths_R.square().sum()
    turned = one.lengths_R[:, None] * (one.axes_FR.T @ other.axes_FR) * other.lengths_R
    return max(0.0, float(means + spreads - 2 * torch.linalg.svdvals(turned).sum()))
