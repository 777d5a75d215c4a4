"""Tables of text; the first row is the header."""

from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def markdown(rows: Rows) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], ("---",) * len(rows[0]), *rows[1:]))


def aligned(rows: Rows) -> str:
    """In columns, for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)
