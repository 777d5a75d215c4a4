"""Bits by quality: curves through measured points, and how much one lies below another (Bjontegaard's delta rate).

The logarithm of the rate is interpolated over PSNR with piecewise cubics that never overshoot (PCHIP; Fritsch and
Butland, 1984), so a curve rises wherever its points do. Nothing is extrapolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RateCurve:
    """log10 of the bits a pixel as a function of PSNR, between the worst and the best point."""

    psnr: Numbers  # rising
    log_rate: Numbers
    slopes: Numbers

    @staticmethod
    def of(points: Sequence[tuple[float, float]]) -> "RateCurve":
        """Through points (bits a pixel, dB), one at least, in any order; of equal PSNR the cheapest counts."""
        cheapest: dict[float, float] = {}
        for rate, psnr in points:
            cheapest[psnr] = min(rate, cheapest.get(psnr, rate))
        x = np.array(sorted(cheapest))
        y = np.log10([cheapest[psnr] for psnr in x])
        return RateCurve(x, y, pchip_slopes(x, y))

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.psnr[0]), float(self.psnr[-1])

    def rate(self, psnr: float) -> float | None:
        """Bits a pixel at this PSNR; None outside of the curve."""
        low, high = self.ends
        return float(10 ** self.log_rates(np.array([psnr]))[0]) if low <= psnr <= high else None

    def log_rates(self, psnr: Numbers) -> Numbers:
        if len(self.psnr) == 1:
            return np.full(len(psnr), self.log_rate[0])
        piece = np.clip(np.searchsorted(self.psnr, psnr, side="right") - 1, 0, len(self.psnr) - 2)
        width = np.diff(self.psnr)[piece]
        t = (psnr - self.psnr[piece]) / width
        from_left = (1 + 2 * t) * self.log_rate[piece] + t * width * self.slopes[piece]
        from_right = (3 - 2 * t) * self.log_rate[piece + 1] + (t - 1) * width * self.slopes[piece + 1]
        return np.asarray((1 - t) ** 2 * from_left + t**2 * from_right)

    def mean_log_rate(self, low: float, high: float) -> float:
        """Of PSNR from `low` to `high`, both on the curve; Simpson's rule is exact for a cubic."""
        inside = self.psnr[(self.psnr > low) & (self.psnr < high)]
        at = np.concatenate([[low], inside, [high]])
        left, middle, right = (self.log_rates(x) for x in (at[:-1], (at[:-1] + at[1:]) / 2, at[1:]))
        return float((np.diff(at) * (left + 4 * middle + right) / 6).sum() / (high - low))


def bd_rate(curve: RateCurve, anchor: RateCurve) -> float | None:
    """By which share of the anchor's bits this curve needs more, on average where both have a PSNR; below 0 it saves.

    None where they share no range of PSNR.
    """
    low, high = max(curve.ends[0], anchor.ends[0]), min(curve.ends[1], anchor.ends[1])
    if low >= high:
        return None
    return float(10 ** (curve.mean_log_rate(low, high) - anchor.mean_log_rate(low, high)) - 1)


def pchip_slopes(x: Numbers, y: Numbers) -> Numbers:
    """Slopes at the points: within, the weighted harmonic mean of both sides, and 0 at a turn."""
    if len(x) < 3:
        return np.full(len(x), (y[-1] - y[0]) / (x[-1] - x[0]) if len(x) == 2 else 0.0)
    width, secant = np.diff(x), np.diff(y) / np.diff(x)
    left, right = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    turns = secant[:-1] * secant[1:] <= 0
    safe = np.where(turns, 1.0, secant[:-1]), np.where(turns, 1.0, secant[1:])
    within = np.where(turns, 0.0, (left + right) / (left / safe[0] + right / safe[1]))
    return np.concatenate([[end_slope(width, secant)], within, [end_slope(width[::-1], secant[::-1])]])


def end_slope(width: Numbers, secant: Numbers) -> float:
    """Of the parabola through the three points at an end, limited so that the curve does not overshoot."""
    slope = ((2 * width[0] + width[1]) * secant[0] - width[0] * secant[1]) / (width[0] + width[1])
    if slope * secant[0] <= 0:
        return 0.0
    if secant[0] * secant[1] <= 0 and abs(slope) > 3 * abs(secant[0]):
        return float(3 * secant[0])
    return float(slope)
