"""The report of a codec: README.md with tables, and its charts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videogen.evaluation.codec.comparison import COUNTED
from videogen.evaluation.report.line_charts import Series, semilog_chart
from videogen.evaluation.report.tables import aligned, markdown

Row = Mapping[str, Any]
CHARTS = {
    "rate.svg": "Quality by bits a pixel, of codes and of coded frames alone; to the left and above is better.",
    "steps.svg": "Bits a pixel of the codes by the steps in which the prior codes a latent frame.",
}
FAIR = (
    "*Alone* are codes, or a codec's packets: what grows with a clip. *File* has headers, checks and the container "
    "too, which weigh most in short clips of small frames; so compare what is alone."
)


def write_charts(out: Path, figures: Row) -> list[str]:
    """The names of those that were written."""
    drawn = {"rate.svg": rate_chart(figures)}
    if len([row for row in figures["variants"] if row["steps"] is not None]) > 1:
        drawn["steps.svg"] = steps_chart(figures["variants"])
    for name, text in drawn.items():
        (out / name).write_text(text, encoding="utf-8")
    return list(drawn)


def rate_chart(figures: Row) -> str:
    curves = {row["curve"]: [each for each in figures["variants"] if each["curve"] == row["curve"]] for row in
              figures["variants"]}  # fmt: skip
    groups = {**curves, **{codec["name"]: codec["points"] for codec in figures["codecs"]}}
    lines = []
    for name, points in groups.items():
        rows = sorted(points, key=lambda point: float(point["psnr"]))
        lines.append(Series(name, [row[COUNTED["payload"]] for row in rows], [row["psnr"] for row in rows]))
    return semilog_chart("PSNR by bits a pixel, headers and containers left out", "bits a pixel", "dB", lines)


def steps_chart(variants: Sequence[Row]) -> str:
    rows = [row for row in variants if row["steps"] is not None]
    bits = Series("prior", [row["steps"] for row in rows], [row[COUNTED["payload"]] for row in rows])
    return semilog_chart("Bits a pixel by steps of a latent frame", "steps", "", [bits])


def page_of(figures: Row, charts: Sequence[str]) -> str:
    data = figures["data"]
    sections = [
        f"# {figures['model']['path']} as a codec",
        f"{data['clips']:,} clips of {data['path']}, {data['frames']} frames of {data['height']} x {data['width']} at "
        f"{data['fps']:g} a second each. {exactness(figures)} Speeds are {figures['seconds']}: {figures['machine']}.",
        FAIR,
        markdown(variant_rows(figures["variants"])),
    ]
    if figures["codecs"]:
        sections += [f"## Beside conventional codecs\n\n{conditions(figures)}", markdown(comparison_rows(figures))]
        sections += [markdown(codec_rows(figures["codecs"]))]
    sections += [f"{name}: left out, {why}." for name, why in figures["left_out"].items()]
    sections += [f"{CHARTS[name]}\n\n![{name.partition('.')[0]}]({name})" for name in charts]
    return "\n\n".join(sections) + "\n"


def as_table(figures: Row) -> str:
    """For a terminal."""
    data = figures["data"]
    parts = [
        f"{data['clips']:,} clips of {data['path']}, {data['frames']} frames of {data['height']} x {data['width']}",
        aligned(variant_rows(figures["variants"])),
        exactness(figures),
    ]
    if figures["codecs"]:
        parts += ["", aligned(comparison_rows(figures))]
    return "\n".join([*parts, *(f"{name} is left out: {why}" for name, why in figures["left_out"].items())])


def exactness(figures: Row) -> str:
    differing = figures["differing_clips"]
    if not differing:
        return "Every file gives the tokenizer's own reconstruction back, to the bit."
    return f"NOT EXACT: {differing} files give another clip back than the tokenizer's own reconstruction."


def conditions(figures: Row) -> str:
    colors = figures["colors"]
    each = "; ".join(f"{codec['name']}: {codec['settings']}, in {codec['container']}" for codec in figures["codecs"])
    still = ", ".join(f"{codec['name']} {codec['still_bits_per_pixel']:.4f}" for codec in figures["codecs"])
    return (
        f"{each}. One thread each, PSNR of RGB frames. The change to 4:2:0 and back alone, without any coding, leaves "
        f"{colors['psnr']:.2f} dB (colors: {colors['conversion']}). Frames of this size cost something by "
        f"themselves: a still gray clip takes {still} bits a pixel.\n\n"
        "The codec's bits at the model's PSNR are interpolated; *times* says how many times the model's bits they are, "
        "so above 1 the model is ahead. *Not reached*: the ladder has no such quality; its nearest end is given. "
        "*BD-rate* is how many more bits the model needs on average where both curves have a PSNR, below 0 fewer; a "
        "model of a single point has none."
    )


def variant_rows(variants: Sequence[Row]) -> list[tuple[str, ...]]:
    with_lpips = any(row["lpips"] is not None for row in variants)
    head = ("", "bits a pixel, alone", "file", "PSNR", "SSIM", *(("LPIPS",) if with_lpips else ()))
    rows = [(*head, "writes, latent frames/s", "reads", "range coder", "differing clips")]
    for row in variants:
        lpips = (f"{row['lpips']:.4f}",) if with_lpips else ()
        rows.append(
            (
                row["name"],
                f"{row['payload_bits_per_pixel']:.5f}",
                f"{row['bits_per_pixel']:.5f}",
                f"{row['psnr']:.2f}",
                f"{row['ssim']:.4f}",
                *lpips,
                f"{row['encode_latent_frames_per_second']:.3g}",
                f"{row['decode_latent_frames_per_second']:.3g}",
                f"{row['coder_share']:.1%}",
                f"{row['differing_clips']}",
            )
        )
    return rows


def comparison_rows(figures: Row) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("", "codec", "at PSNR", "codec, alone", "times", "file", "times", "BD-rate, alone")]
    for each in figures["comparison"]:
        for point, file in zip(each["payload"]["points"], each["file"]["points"], strict=True):
            delta = each["payload"]["bd_rate"]
            shown = "-" if delta is None else f"{delta:+.1%}"
            rows.append(
                (point["name"], each["codec"], f"{point['psnr']:.2f}", *rate_cells(point), *rate_cells(file), shown)
            )
    return rows


def rate_cells(point: Row) -> tuple[str, str]:
    """The codec's bits a pixel and how many times the model's they are; where it does not get there, its nearest."""
    if point["ratio"] is not None:
        return f"{point['codec_bits_per_pixel']:.5f}", f"{point['ratio']:.2f}"
    nearest = point["nearest"]
    return f"not reached: {nearest['bits_per_pixel']:.5f} at {nearest['psnr']:.2f} dB", "-"


def codec_rows(codecs: Sequence[Row]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("codec", "crf", "bits a pixel, alone", "file", "PSNR", "SSIM", "writes, frames/s", "reads")
    ]
    for codec in codecs:
        for point in codec["points"]:
            rows.append(
                (
                    codec["name"],
                    f"{point['crf']}",
                    f"{point['payload_bits_per_pixel']:.5f}",
                    f"{point['bits_per_pixel']:.5f}",
                    f"{point['psnr']:.2f}",
                    f"{point['ssim']:.4f}",
                    f"{point['encode_frames_per_second']:.3g}",
                    f"{point['decode_frames_per_second']:.3g}",
                )
            )
    return rows
