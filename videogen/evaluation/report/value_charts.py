"""Named values with their spread on one axis, as SVG text: for figures such as PSNR, where 0 says nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from videogen.evaluation.report.bar_charts import FOOTER, LABEL_WIDTH, label_width, svg_header
from videogen.evaluation.report.line_charts import COLORS, STYLE, TOP, WIDTH, Axis, axis

ROW, NUMBERS = 20, 70  # pixels: of a row, and for its number on the right


@dataclass(frozen=True)
class NamedValue:
    name: str
    value: float
    spread: float = 0.0  # drawn to both sides
    text: str = ""  # the number as people read it
    color: int = 0  # alike for values of one group


def value_chart(title: str, rows: Sequence[NamedValue]) -> str:
    """A row for each value, in the given order."""
    left = label_width([row.name for row in rows])
    width, bottom = WIDTH - LABEL_WIDTH + left, TOP + ROW * len(rows)
    ends = [row.value + side * row.spread for row in rows for side in (-1, 1)]
    middle = axis(ends, 1.0, 0.0)  # with room on both sides
    across = Axis(middle.low, middle.high, left, width - NUMBERS)
    parts = svg_header(title, width, bottom + FOOTER)
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{bottom}' stroke='#ddd'/>")
        parts.append(f"<text x='{x:.1f}' y='{bottom + 16}' {STYLE} text-anchor='middle'>{tick:.6g}</text>")
    for place, row in enumerate(rows):
        parts += mark(across, TOP + ROW * place + ROW / 2, row, left)
    return "\n".join([*parts, "</svg>\n"])


def mark(across: Axis, y: float, row: NamedValue, left: float) -> list[str]:
    color, x = COLORS[row.color % len(COLORS)], across.at(row.value)
    low, high = across.at(row.value - row.spread), across.at(row.value + row.spread)
    return [
        f"<text x='{left - 8}' y='{y + 4:.1f}' {STYLE} text-anchor='end'>{escape(row.name)}</text>",
        f"<line x1='{across.start}' x2='{x:.1f}' y1='{y}' y2='{y}' stroke='{color}' stroke-opacity='0.25'/>",
        f"<line x1='{low:.1f}' x2='{high:.1f}' y1='{y}' y2='{y}' stroke='{color}' stroke-width='2'/>",
        f"<circle cx='{x:.1f}' cy='{y}' r='4.5' fill='{color}'/>",
        f"<text x='{across.end + 8:.0f}' y='{y + 4:.1f}' {STYLE}>{escape(row.text or f'{row.value:.4g}')}</text>",
    ]
