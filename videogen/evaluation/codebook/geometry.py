"""Distances of codes and latents, and the plane that shows most of them.

Legend: V codes, M points, D numbers each.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

CELLS = 1 << 22  # distances computed at a time


def nearest_other(vectors_VD: Tensor, most: int = 4096) -> Tensor:
    """The distance of codes to their nearest other code: of all, or of `most` evenly spaced ones."""
    chosen = torch.linspace(0, len(vectors_VD) - 1, min(most, len(vectors_VD)), dtype=torch.float64).round().long()
    distances = []
    for rows in torch.split(chosen, max(1, CELLS // len(vectors_VD))):
        cells = torch.cdist(vectors_VD[rows], vectors_VD, compute_mode="donot_use_mm_for_euclid_dist")
        cells[torch.arange(len(rows)), rows] = torch.inf
        distances.append(cells.amin(1))
    return torch.cat(distances)


@dataclass(frozen=True, eq=False)
class PrincipalPlane:
    """A plane through points of D numbers."""

    center_D: Tensor
    axes_D2: Tensor
    share: float  # of the points' variance that lies in the plane

    def project(self, points_MD: Tensor) -> Tensor:
        return (points_MD - self.center_D) @ self.axes_D2


def plane_of(points_MD: Tensor) -> PrincipalPlane:
    """The plane of the two principal axes; points of one or two numbers keep their own axes."""
    dim = points_MD.shape[1]
    if dim <= 2:
        return PrincipalPlane(torch.zeros(dim), torch.eye(2)[:dim], 1.0)
    center_D = points_MD.mean(0)
    spread_D, axes_DD = torch.linalg.eigh(torch.cov(points_MD.double().T))
    share = float(spread_D[-2:].sum() / spread_D.sum().clamp_min(1e-30))
    return PrincipalPlane(center_D, axes_DD[:, [-1, -2]].float(), share)


def quantiles(values_M: Tensor) -> dict[str, float]:
    """The smallest, some in the middle, and the largest."""
    q = values_M.double().quantile(torch.tensor([0, 0.1, 0.5, 0.9, 1], dtype=torch.float64))
    return dict(zip(("least", "p10", "median", "p90", "most"), q.tolist(), strict=True))
