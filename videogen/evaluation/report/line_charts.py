"""Line charts as SVG text, without a plotting library."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 48
LEGEND = 112  # beside the curves, if there is more than one; wider for long names
LETTER, LEGEND_LINE = 6.4, 16  # pixels
FEW_POINTS = 12  # of a curve: each is drawn
COLORS = ("#1f6fb4", "#d1602b", "#2c8a57", "#8a4fb0", "#b8901a", "#555555", "#c0417e", "#3aa7a3", "#7d5a3c", "#9aa02c")
DASHES = ("", " stroke-dasharray='7 4'", " stroke-dasharray='2 3'")  # once the colors are used up
STYLE = "font-family='sans-serif' font-size='12' fill='#333'"


@dataclass(frozen=True)
class Series:
    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Axis:
    """Maps numbers to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        step = nice_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True)
class LogAxis(Axis):
    """Maps positive numbers to pixels by their logarithm."""

    def at(self, value: float) -> float:
        low, high = math.log10(self.low), math.log10(self.high)
        return self.start + (math.log10(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; within two decades 2 and 5 times these too."""
        first, last = math.floor(math.log10(self.low)), math.floor(math.log10(self.high) + 1e-9)
        factors = (1, 2, 5) if self.high < 100 * self.low * (1 + 1e-9) else (1,)
        every = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        return [value for value in every if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


AxisOf = Callable[[Sequence[float], float, float], Axis]


def line_chart(title: str, x_label: str, y_label: str, lines: Sequence[Series]) -> str:
    """An SVG document, without points that are not finite."""
    points = {line.name: [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)] for line in lines}
    return draw(title, x_label, y_label, points, axis, axis)


def semilog_chart(title: str, x_label: str, y_label: str, lines: Sequence[Series]) -> str:
    """The same with x logarithmic, without points whose x is not positive."""
    pairs = {line.name: zip(line.x, line.y, strict=True) for line in lines}
    points = {name: [(x, y) for x, y in some if x > 0 and math.isfinite(y)] for name, some in pairs.items()}
    return draw(title, x_label, y_label, points, log_axis, axis)


def log_line_chart(title: str, x_label: str, y_label: str, lines: Sequence[Series]) -> str:
    """The same with both axes logarithmic, without points that are not positive."""
    pairs = {line.name: zip(line.x, line.y, strict=True) for line in lines}
    points = {name: [(x, y) for x, y in some if x > 0 and 0 < y < math.inf] for name, some in pairs.items()}
    return draw(title, x_label, y_label, points, log_axis, log_axis)


def draw(
    title: str,
    x_label: str,
    y_label: str,
    points: Mapping[str, Sequence[tuple[float, float]]],
    across_of: AxisOf,
    up_of: AxisOf,
) -> str:
    everything = [point for some in points.values() for point in some]
    end = WIDTH - RIGHT - (LEGEND if len(points) > 1 else 0)
    across = across_of([x for x, _ in everything], LEFT, end)
    up = up_of([y for _, y in everything], HEIGHT - BOTTOM, TOP)
    width = max(WIDTH, end + 16 + math.ceil(LETTER * max(map(len, points), default=0))) if len(points) > 1 else WIDTH
    height = max(HEIGHT, TOP + LEGEND_LINE * (len(points) + 1))
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>",
        f"<rect width='{width}' height='{height}' fill='#fffefb'/>",
        f"<text x='{LEFT}' y='20' {STYLE} font-weight='bold'>{escape(title)}</text>",
        f"<text x='{across.end:.0f}' y='{HEIGHT - 8}' {STYLE} text-anchor='end'>{escape(x_label)}</text>",
        f"<text x='8' y='{TOP - 4}' {STYLE}>{escape(y_label)}</text>",
        *grid(across, up),
    ]
    for number, (name, some) in enumerate(points.items()):
        color = COLORS[number % len(COLORS)]
        dash = DASHES[number // len(COLORS) % len(DASHES)]
        places = [(f"{across.at(x):.1f}", f"{up.at(y):.1f}") for x, y in some]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='1.8'{dash}/>")
        if len(some) <= FEW_POINTS:
            parts += [f"<circle cx='{x}' cy='{y}' r='2.6' fill='{color}'/>" for x, y in places]
        if len(points) > 1:
            place = f"x='{across.end + 10:.0f}' y='{TOP + LEGEND_LINE * (number + 1)}'"
            parts.append(f"<text {place} {STYLE.replace('#333', color)}>{escape(name)}</text>")
    return "\n".join([*parts, "</svg>\n"])


def grid(across: Axis, up: Axis, bottom: float = HEIGHT - BOTTOM) -> list[str]:
    """Lines and numbers of both axes; that across is at `bottom`."""
    parts = []
    for value in up.ticks():
        y = up.at(value)
        parts.append(f"<line x1='{LEFT}' x2='{across.end:.0f}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y + 4:.1f}' {STYLE} text-anchor='end'>{value:.6g}</text>")
    for value in across.ticks():
        x = across.at(value)
        parts.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{bottom}' y2='{bottom + 4}' stroke='#333'/>")
        parts.append(f"<text x='{x:.1f}' y='{bottom + 18}' {STYLE} text-anchor='middle'>{value:.6g}</text>")
    return parts


def axis(values: Sequence[float], start: float, end: float) -> Axis:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return Axis(low if start < end else low - room, high if start < end and high > low else high + room, start, end)


def log_axis(values: Sequence[float], start: float, end: float) -> LogAxis:
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    room = 1.0 if start < end else 1.3
    return LogAxis(low / room, max(high * room, low * 10), start, end)


def nice_step(step: float) -> float:
    """The next larger of 1, 2, 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))
