"""Draws docs/prior/who_sees_whom.svg: which positions of a training sequence see which, from `Layout.mask`."""

from pathlib import Path

import torch

from prior.visibility import Layout

TARGET = Path(__file__).parents[2] / "docs" / "prior" / "who_sees_whom.svg"
LAYOUT = Layout(context=4, frames=5, tokens=4, window=2, copies=2, order="together")
CELL, LEFT, TOP, GAP = 10, 112, 84, 4
CONTEXT, CLEAN, MASKED, UNSEEN = "#8a8f98", "#1f6fb4", "#d1602b", "#eef0f3"
TEXT = "font-family='sans-serif' font-size='12' fill='#333'"


def sections() -> list[tuple[str, str, int, int]]:
    """Name, color, first position and end of the context and of each frame."""
    found = [("context", CONTEXT, 0, LAYOUT.context)]
    for number in range(LAYOUT.history + LAYOUT.frames):
        first = LAYOUT.context + number * LAYOUT.tokens
        clean = number < LAYOUT.history
        name = f"clean {number + 1}" if clean else f"masked {number - LAYOUT.history + 1}"
        found.append((name, CLEAN if clean else MASKED, first, first + LAYOUT.tokens))
    return found


def draw() -> str:
    seen, blocks = LAYOUT.mask(torch.device("cpu")).tolist(), sections()
    part = [number for number, (_, _, first, end) in enumerate(blocks) for _ in range(first, end)]
    at = [position * CELL + part[position] * GAP for position in range(LAYOUT.length)]
    size = at[-1] + CELL
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {LEFT + size + 8} {TOP + size + 8}' {TEXT}>",
        "<rect width='100%' height='100%' fill='white'/>",
    ]
    for name, color, first, end in blocks:
        middle = (at[first] + at[end - 1] + CELL) / 2
        lines.append(f"<text x='{LEFT - 8}' y='{TOP + middle + 4}' text-anchor='end' fill='{color}'>{name}</text>")
        turned = f"rotate(-60 {LEFT + middle} {TOP - 8})"
        lines.append(f"<text x='{LEFT + middle}' y='{TOP - 8}' transform='{turned}' fill='{color}'>{name}</text>")
    cells: dict[str, list[str]] = {}
    for query, row in enumerate(seen):
        for key, sees in enumerate(row):
            color = blocks[part[key]][1] if sees else UNSEEN
            square = f"M{LEFT + at[key]} {TOP + at[query]}h{CELL - 1}v{CELL - 1}h-{CELL - 1}z"
            cells.setdefault(color, []).append(square)
    lines += [f"<path fill='{color}' d='{''.join(squares)}'/>" for color, squares in cells.items()]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
