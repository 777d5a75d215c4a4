"""The charts of a codebook, as SVG text.

Legend: U different entries, M distances.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tokenizer.quantize.usage import TableUsage
from videogen.evaluation.codebook.books import Book
from videogen.evaluation.codebook.usage import PartUsage, usage_histogram
from videogen.evaluation.report.column_charts import ColumnSeries, column_chart
from videogen.evaluation.report.line_charts import COLORS, Axis, Series, line_chart, log_line_chart

MOST_PARTS = len(COLORS)  # in one chart
POINTS = 200  # of a curve
BINS = 40  # of a histogram of distances
LAST_BIN = 0.995  # all distances beyond this quantile


def usage_chart(usages: Sequence[PartUsage]) -> str:
    names, numbers = usage_histogram([usage.table for usage in usages])
    title = "How many codes are used how often" + (f", {len(usages)} codebooks together" if len(usages) > 1 else "")
    ticks = {place + 0.5: name for place, name in enumerate(names)}
    return column_chart(title, "tokens of a code", "codes", ticks, [ColumnSeries("codes", numbers)], ",.0f")


def rank_chart(usages: Sequence[PartUsage]) -> str:
    shown = usages[:MOST_PARTS]
    ranks = [rank_curve(usage.table, usage.part.name) for usage in shown]
    title = "Tokens of each code, most used first; a code that is never used has no point"
    return log_line_chart(title, "rank", "tokens", ranks)


def rank_curve(table: TableUsage, name: str) -> Series:
    """The counts at ranks that are evenly spaced on a logarithmic axis."""
    steps = torch.logspace(0, torch.log10(torch.tensor(float(table.used))).item(), POINTS, dtype=torch.float64)
    ranks = torch.unique(steps.round().long().clamp(1, table.used))
    counts = table.counts_U.sort(descending=True).values[ranks - 1]
    return Series(name, ranks.tolist(), counts.tolist())


def perplexity_chart(training: dict[str, Any]) -> str:
    curves = [Series(name, lines["step"], lines["perplexity"]) for name, lines in training.items()]
    return line_chart("Perplexity over training: codes that, used evenly, would be as diverse", "step", "", curves)


def distance_chart(book: Book) -> str:
    """How far codes lie from their nearest other code, and latents from their own code."""
    pairs = {"code to nearest code": book.code_distances, "latent to its code": book.latent_distances}
    known = {name: values for name, values in pairs.items() if values is not None}
    end = max(float(values.double().quantile(LAST_BIN)) for values in known.values()) * 1.02 or 1.0
    ticks = {BINS * value / end: f"{value:.3g}" for value in Axis(0, end, 0, 1).ticks()}
    columns = [ColumnSeries(name, _shares(values, end)) for name, values in known.items()]
    return column_chart(f"Distances, {book.name}", "distance", "share", ticks, columns)


def _shares(values_M: Tensor, end: float) -> list[float]:
    places_M = (values_M.double() / end * BINS).long().clamp_max(BINS - 1)
    return (torch.bincount(places_M, minlength=BINS) / len(values_M)).tolist()


def position_chart(usages: Sequence[PartUsage]) -> str:
    title = "Share of the codes in use in each latent frame of a clip"
    shares = [(usage.part.name, usage.share_by_position()) for usage in usages[:MOST_PARTS]]
    curves = [Series(name, list(range(1, len(share) + 1)), share) for name, share in shares]
    return line_chart(title, "latent frame", "", curves)


def chunk_chart(usages: Sequence[PartUsage]) -> str:
    title = "Share of the codes in use along the data" + (", mean of all codebooks" if len(usages) > 1 else "")
    within, so_far = (torch.tensor(each).mean(0).tolist() for each in zip(*_by_chunk(usages), strict=True))
    clips = len(usages[0].entries_CTN)
    ends = torch.tensor([len(chunk) for chunk in torch.arange(clips).chunk(len(within))]).cumsum(0).tolist()
    return line_chart(title, "clips", "", [Series("in this chunk", ends, within), Series("so far", ends, so_far)])


def _by_chunk(usages: Sequence[PartUsage]) -> list[tuple[list[float], list[float]]]:
    return [usage.share_by_chunk() for usage in usages]


def bits_chart(parts: Sequence[dict[str, Any]]) -> str:
    shown = parts[:MOST_PARTS]
    names = {"without entropy coding": "bits", "entropy": "entropy_bits"}
    names |= {"entropy, given the code of the latent frame before": "conditional_entropy_bits"}
    columns = [ColumnSeries(name, [part[key] for part in shown]) for name, key in names.items()]
    columns = [each for each in columns if any(height is not None for height in each.heights)]
    ticks = {place + 0.5: part["name"].removeprefix("codebook ") for place, part in enumerate(shown)}
    return column_chart("Bits of a code", "codebook" if len(shown) > 1 else "", "bits", ticks, columns, ".2f")
