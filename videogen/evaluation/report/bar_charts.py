"""Bar charts of rates and dot charts, as SVG text."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from videogen.evaluation.report.line_charts import (
    BOTTOM,
    COLORS,
    HEIGHT,
    LEFT,
    LEGEND_LINE,
    LETTER,
    STYLE,
    TOP,
    WIDTH,
    Axis,
    axis,
    grid,
)

LABEL_WIDTH, BAR, GAP = 150, 9, 10  # pixels
FOOTER = 34
DOTS_HEIGHT = 220  # of the plot of a dot chart, at least


@dataclass(frozen=True)
class Bars:
    """One series of bars: rates in 0..1 by name."""

    name: str
    rates: dict[str, float]


def bar_chart(title: str, series: Sequence[Bars]) -> str:
    """A group of bars for each name, in order of appearance."""
    names = list(dict.fromkeys(name for bars in series for name in bars.rates))
    left = label_width(names)
    group = BAR * len(series) + GAP
    top = TOP + LEGEND_LINE * len(series)
    bottom = top + group * len(names)
    width = WIDTH - LABEL_WIDTH + left
    across = Axis(0.0, 1.0, left, width - 60)
    parts = [*svg_header(title, width, bottom + FOOTER), *legend([bars.name for bars in series], left, TOP)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = across.at(tick)
        parts.append(f"<line x1='{x:.0f}' x2='{x:.0f}' y1='{top}' y2='{bottom}' stroke='#ddd'/>")
        parts.append(f"<text x='{x:.0f}' y='{bottom + 16}' {STYLE} text-anchor='middle'>{tick:.0%}</text>")
    for place, name in enumerate(names):
        y = top + place * group + GAP / 2
        middle = y + BAR * len(series) / 2 + 4
        parts.append(f"<text x='{left - 8}' y='{middle:.1f}' {STYLE} text-anchor='end'>{escape(name)}</text>")
        for number, bars in enumerate(series):
            if name in bars.rates:
                parts += bar(across, y + BAR * number, bars.rates[name], COLORS[number % len(COLORS)])
    return "\n".join([*parts, "</svg>\n"])


def label_width(names: Sequence[str]) -> int:
    """Room for names on the left."""
    return max(LABEL_WIDTH, round(LETTER * max(map(len, names), default=0)) + 14)


def bar(across: Axis, y: float, rate: float, color: str) -> list[str]:
    start, end = across.at(0.0), across.at(rate)
    shape = f"x='{start:.1f}' y='{y:.1f}' width='{max(1.0, end - start):.1f}' height='{BAR - 1}'"
    figure = f"<text x='{end + 4:.1f}' y='{y + BAR - 1:.1f}' {STYLE.replace('12', '9')}>{rate:.0%}</text>"
    return [f"<rect {shape} fill='{color}'/>", figure]


@dataclass(frozen=True)
class Dot:
    name: str
    x: float
    y: float


def dot_chart(title: str, x_label: str, y_label: str, dots: Sequence[Dot]) -> str:
    """Named dots."""
    top = TOP + LEGEND_LINE * (len(dots) + 1)
    height = max(HEIGHT, top + DOTS_HEIGHT + BOTTOM)
    across = axis([0.0, *(dot.x * 1.1 for dot in dots)], LEFT, WIDTH - 16)
    up = axis([dot.y for dot in dots], height - BOTTOM, top)
    parts = [*svg_header(title, WIDTH, height), *legend([dot.name for dot in dots], LEFT + 8, TOP)]
    parts.append(f"<text x='{across.end:.0f}' y='{height - 8}' {STYLE} text-anchor='end'>{escape(x_label)}</text>")
    parts.append(f"<text x='8' y='{up.end - 8:.0f}' {STYLE}>{escape(y_label)}</text>")
    parts += grid(across, up, height - BOTTOM)
    for number, dot in enumerate(dots):
        place = f"cx='{across.at(dot.x):.1f}' cy='{up.at(dot.y):.1f}'"
        parts.append(f"<circle {place} r='6' fill='{COLORS[number % len(COLORS)]}'/>")
    return "\n".join([*parts, "</svg>\n"])


def svg_header(title: str, width: int, height: int) -> list[str]:
    view = f"viewBox='0 0 {width} {height}' width='{width}' height='{height}'"
    return [
        f"<svg xmlns='http://www.w3.org/2000/svg' {view}>",
        f"<rect width='{width}' height='{height}' fill='#fffefb'/>",
        f"<text x='{LEFT}' y='20' {STYLE} font-weight='bold'>{escape(title)}</text>",
    ]


def legend(names: Sequence[str], x: float, top: float) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        y, color = top + LEGEND_LINE * number, COLORS[number % len(COLORS)]
        parts.append(f"<rect x='{x}' y='{y - 8}' width='9' height='9' fill='{color}'/>")
        parts.append(f"<text x='{x + 15}' y='{y}' {STYLE}>{escape(name)}</text>")
    return parts
