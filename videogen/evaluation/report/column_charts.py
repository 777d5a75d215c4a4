"""Column charts of any numbers, as SVG text: histograms, and figures side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from videogen.evaluation.report.bar_charts import legend, svg_header
from videogen.evaluation.report.line_charts import (
    BOTTOM,
    COLORS,
    HEIGHT,
    LEFT,
    LEGEND_LINE,
    RIGHT,
    STYLE,
    TOP,
    WIDTH,
    Axis,
)

FIGURES_UP_TO = 24  # columns that have their figures written above them
WIDEST = 72  # pixels of a column


@dataclass(frozen=True)
class ColumnSeries:
    """One series of columns; None leaves a column out."""

    name: str
    heights: Sequence[float | None]


def column_chart(
    title: str,
    x_label: str,
    y_label: str,
    ticks: Mapping[float, str],
    series: Sequence[ColumnSeries],
    form: str = ",.4g",
) -> str:
    """Series side by side. `ticks` are labels by place: 0 is the left edge of the first group, 0.5 its middle."""
    groups = max(len(columns.heights) for columns in series)
    top = TOP + 12 + (LEGEND_LINE * len(series) if len(series) > 1 else 0)
    tallest = max((height for columns in series for height in columns.heights if height is not None), default=0)
    across, up = Axis(0, groups, LEFT, WIDTH - RIGHT), Axis(0, tallest or 1, HEIGHT - BOTTOM, top + 8)
    parts = svg_header(title, WIDTH, HEIGHT)
    parts += legend([columns.name for columns in series], LEFT + 8, TOP) if len(series) > 1 else []
    parts.append(f"<text x='{across.end:.0f}' y='{HEIGHT - 8}' {STYLE} text-anchor='end'>{escape(x_label)}</text>")
    parts.append(f"<text x='8' y='{top - 4}' {STYLE}>{escape(y_label)}</text>")
    parts += axis_lines(across, up, ticks)
    for number, columns in enumerate(series):
        place = (number, len(series), groups)
        parts += column_shapes(columns, place, across, up, form)
    return "\n".join([*parts, "</svg>\n"])


def axis_lines(across: Axis, up: Axis, ticks: Mapping[float, str]) -> list[str]:
    parts = []
    for value in up.ticks():
        y = up.at(value)
        parts.append(f"<line x1='{LEFT}' x2='{across.end:.0f}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' {STYLE} text-anchor='end'>{value:.6g}</text>")
    for place, label in ticks.items():
        where = f"x='{across.at(place):.1f}' y='{HEIGHT - BOTTOM + 18}'"
        parts.append(f"<text {where} {STYLE} text-anchor='middle'>{escape(label)}</text>")
    return parts


def column_shapes(columns: ColumnSeries, place: tuple[int, int, int], across: Axis, up: Axis, form: str) -> list[str]:
    number, count, groups = place
    color = COLORS[number % len(COLORS)]
    width = min((across.end - across.start) / groups * 0.84 / count, WIDEST)
    parts = []
    for group, height in enumerate(columns.heights):
        if height is None:
            continue
        x, y = across.at(group + 0.5) + width * (number - count / 2), up.at(height)
        shape = f"x='{x:.1f}' y='{y:.1f}' width='{max(0.5, width - 1):.1f}' height='{up.start - y:.1f}'"
        parts.append(f"<rect {shape} fill='{color}'/>")
        if groups * count <= FIGURES_UP_TO and height:
            where = f"x='{x + width / 2:.1f}' y='{y - 3:.1f}'"
            parts.append(f"<text {where} {STYLE.replace('12', '9')} text-anchor='middle'>{height:{form}}</text>")
    return parts
