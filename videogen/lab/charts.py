"""The charts that a recipe asks for, from its results."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from videogen.evaluation.report.bar_charts import Bars, Dot, bar_chart, dot_chart
from videogen.evaluation.report.line_charts import Series, line_chart
from videogen.evaluation.report.value_charts import NamedValue, value_chart
from videogen.lab.headings import heading
from videogen.lab.recipe import ChartConfig

Rows = Sequence[dict[str, Any]]  # the variants in results.json


def draw(chart: ChartConfig, variants: Rows) -> str | None:
    """An SVG document; None if no variant has the figures."""
    rows = [row for row in chosen(variants, chart.only) if row["finished"]]
    return DRAWN[chart.kind](chart, rows)


def chosen(variants: Rows, only: Sequence[str]) -> Rows:
    """The variants with one of these names or groups; all, if none are given."""
    return [row for row in variants if not only or row["name"] in only or row["group"] in only]


def having(rows: Rows, *figures: str) -> Rows:
    return [row for row in rows if all(row["figures"].get(name) is not None for name in figures)]


def curves(chart: ChartConfig, rows: Rows) -> str | None:
    (figure,) = chart.figures
    some = [(row["label"], row["curves"][figure]) for row in rows if figure in row["curves"]]
    lines = [Series(label, [x for x, _ in points], [y for _, y in points]) for label, points in some]
    return line_chart(chart.title, "step", heading(figure).text, lines) if lines else None


def values(chart: ChartConfig, rows: Rows) -> str | None:
    rows = having(rows, *chart.figures)
    if not rows:
        return None
    if all(heading(name).share for name in chart.figures):
        shares = [{row["label"]: row["figures"][name] for row in rows} for name in chart.figures]
        series = [Bars(heading(name).text, rates) for name, rates in zip(chart.figures, shares, strict=True)]
        return bar_chart(chart.title, series)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    several = len(chart.figures) > 1
    marks = [
        NamedValue(
            f"{row['label']}, {heading(name).text}" if several else row["label"],
            row["figures"][name],
            row["spread"].get(name) or 0.0,
            heading(name).show(row["figures"][name]),
            color=place if several else groups.index(row["group"]),
        )
        for row in rows
        for place, name in enumerate(chart.figures)
    ]
    return value_chart(chart.title, marks)


def points(chart: ChartConfig, rows: Rows) -> str | None:
    x, y = chart.figures
    dots = [Dot(row["label"], row["figures"][x], row["figures"][y]) for row in having(rows, x, y)]
    return dot_chart(chart.title, heading(x).text, heading(y).text, dots) if dots else None


def lines(chart: ChartConfig, rows: Rows) -> str | None:
    x, y = chart.figures
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in having(rows, x, y):
        groups.setdefault(row["group"] or row["label"], []).append((row["figures"][x], row["figures"][y]))
    series = [Series(name, *zip(*sorted(places), strict=True)) for name, places in groups.items()]
    return line_chart(chart.title, heading(x).text, heading(y).text, series) if series else None


def numbered(chart: ChartConfig, rows: Rows) -> str | None:
    (figure,) = chart.figures
    name = re.compile(rf"{re.escape(figure)}_(\d+)")
    series = []
    for row in rows:
        found = [(int(match[1]), value) for key, value in row["figures"].items() if (match := name.fullmatch(key))]
        if found:
            series.append(Series(row["label"], *zip(*sorted(found), strict=True)))
    return line_chart(chart.title, chart.x_label, heading(figure).text, series) if series else None


DRAWN: dict[str, Callable[[ChartConfig, Rows], str | None]] = {
    "curves": curves,
    "values": values,
    "points": points,
    "lines": lines,
    "numbered": numbered,
}
