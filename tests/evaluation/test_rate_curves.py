"""Curves of bits by quality. The numbers are those of scipy's PchipInterpolator over log10 of the rates."""

import pytest

from videogen.evaluation.codec.comparison import compare
from videogen.evaluation.codec.rate_curves import RateCurve, bd_rate

A = [(0.8, 41.0), (0.31, 37.2), (0.12, 33.9), (0.05, 30.1), (0.031, 26.0)]
B = [(0.9, 40.0), (0.5, 38.5), (0.2, 34.0), (0.21, 35.0), (0.06, 28.0)]
TURNS = [(1, 0.0), (10, 1.0), (0.1, 4.0)]
FLAT_END = [(1, 0.0), (1.1, 1.0), (0.1, 2.0), (0.05, 4.0)]
STEEP = [(1, 0.0), (1.01, 1.0), (10, 2.0), (0.5, 3.0)]


@pytest.mark.parametrize(
    ("points", "rates"),
    [
        (A, {27.0: 0.03343652989035, 33.0: 0.09503743600580, 35.5: 0.18912809935685, 40.2: 0.66355370386998}),
        (B, {29.0: 0.08175726182337, 34.4: 0.20405750653871, 39.3: 0.66898517175602}),
        (TURNS, {0.25: 2.26708994104149, 0.5: 4.75426443011106, 2.0: 8.07992644838296, 3.5: 0.65111456066117}),
        (FLAT_END, {0.25: 1.05664753956518, 0.6: 1.09331058629864, 3.0: 0.05994813986026}),
        (STEEP, {0.3: 1.00090135363850, 1.6: 4.47040882608384, 2.5: 4.52541112845713}),
    ],
)
def test_rates_between_points(points: list[tuple[float, float]], rates: dict[float, float]) -> None:
    curve = RateCurve.of(points)
    assert {psnr: curve.rate(psnr) for psnr in rates} == pytest.approx(rates, rel=1e-9)
    assert {psnr: curve.rate(psnr) for _, psnr in points} == pytest.approx({psnr: rate for rate, psnr in points})
    low, high = curve.ends
    assert curve.rate(low - 1e-6) is curve.rate(high + 1e-6) is None


def test_the_mean_difference_of_two_curves() -> None:
    a, b = RateCurve.of(A), RateCurve.of(B)
    assert bd_rate(a, b) == pytest.approx(-0.3560481653006877, rel=1e-9)
    assert bd_rate(b, a) == pytest.approx(0.5529111745864368, rel=1e-9)
    twice = RateCurve.of([(2 * rate, psnr) for rate, psnr in A])
    assert bd_rate(twice, a) == pytest.approx(1.0)
    assert bd_rate(a, twice) == pytest.approx(-0.5)
    assert bd_rate(a, a) == pytest.approx(0.0)


def test_what_does_not_meet_has_no_difference() -> None:
    a = RateCurve.of(A)
    assert bd_rate(a, RateCurve.of([(rate, psnr + 20) for rate, psnr in A])) is None
    assert bd_rate(RateCurve.of([(0.1, 34.0)]), a) is None, "a single point shares no range"
    assert RateCurve.of([(0.2, 34.0), (0.1, 34.0)]).rate(34.0) == pytest.approx(0.1)
    line = RateCurve.of([(0.1, 30.0), (1.0, 40.0)])
    assert line.rate(35.0) == pytest.approx(0.1**0.5)


def test_a_point_beside_a_ladder() -> None:
    ladder = [
        {"crf": crf, "payload_bits_per_pixel": rate, "bits_per_pixel": 2 * rate, "psnr": psnr}
        for crf, (rate, psnr) in enumerate(A)
    ]
    points = [("good", 0.05, 33.9), ("poor", 0.01, 20.0), ("best", 3.0, 50.0)]
    variants = [
        {"name": name, "curve": name, "payload_bits_per_pixel": rate, "bits_per_pixel": rate, "psnr": psnr}
        for name, rate, psnr in points
    ]
    good, poor, best = compare(variants, [{"name": "X", "points": ladder}])
    assert good["payload"]["points"][0]["ratio"] == pytest.approx(0.12 / 0.05)
    assert good["file"]["points"][0]["ratio"] == pytest.approx(0.24 / 0.05)
    assert good["payload"]["points"][0]["nearest"] is None
    for each, crf in ((poor, 4), (best, 0)):
        point = each["payload"]["points"][0]
        assert point["ratio"] is point["codec_bits_per_pixel"] is each["payload"]["bd_rate"] is None
        assert point["nearest"]["crf"] == crf
    together = [{**row, "curve": "all"} for row in variants[:2]] + [{**variants[0], "curve": "all", "psnr": 36.0}]
    (both,) = compare(together, [{"name": "X", "points": ladder}])
    assert both["payload"]["bd_rate"] < 0
    assert len(both["payload"]["points"]) == 3
