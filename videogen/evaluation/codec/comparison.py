"""A model's bits beside those of conventional codecs at the same PSNR."""

from collections.abc import Mapping, Sequence
from typing import Any

from videogen.evaluation.codec.rate_curves import RateCurve, bd_rate

COUNTED = {"payload": "payload_bits_per_pixel", "file": "bits_per_pixel"}
Row = Mapping[str, Any]


def compare(variants: Sequence[Row], codecs: Sequence[Row]) -> list[dict[str, Any]]:
    """Each curve of the model with each codec: codes beside packets, and files beside files."""
    curves = list(dict.fromkeys(row["curve"] for row in variants))
    return [
        {
            "curve": curve,
            "codec": codec["name"],
            **{
                name: compare_curves([row for row in variants if row["curve"] == curve], codec["points"], key)
                for name, key in COUNTED.items()
            },
        }
        for curve in curves
        for codec in codecs
    ]


def compare_curves(variants: Sequence[Row], points: Sequence[Row], key: str) -> dict[str, Any]:
    """The delta rate of a curve of several points, and each of its points beside the codec's bits at its PSNR.

    Where the codec's ladder does not reach that PSNR, `nearest` is the end of the ladder that is closest to it.
    """
    anchor = RateCurve.of([(point[key], point["psnr"]) for point in points])
    curve = RateCurve.of([(row[key], row["psnr"]) for row in variants])
    return {"bd_rate": bd_rate(curve, anchor), "points": [beside(row, points, anchor, key) for row in variants]}


def beside(row: Row, points: Sequence[Row], anchor: RateCurve, key: str) -> dict[str, Any]:
    rate, nearest = anchor.rate(row["psnr"]), None
    if rate is None:
        closest = min(points, key=lambda point: abs(point["psnr"] - row["psnr"]))
        nearest = {"crf": closest["crf"], "psnr": closest["psnr"], "bits_per_pixel": closest[key]}
    return {
        "name": row["name"],
        "psnr": row["psnr"],
        "bits_per_pixel": row[key],
        "codec_bits_per_pixel": rate,
        "ratio": None if rate is None else rate / row[key],
        "nearest": nearest,
    }
