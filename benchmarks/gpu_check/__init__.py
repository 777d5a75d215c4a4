"""Every path of the code that is meant for a GPU, proven and timed in a few minutes: `make gpu-check`.

    checks.py    the table of checks, in order of worth
    runner.py    each in a process of its own, with a time limit; results are written after each
    worker.py    such a process
    report.py    docs/gpu.json and, made of it, docs/gpu.md
    sizes.py     what is run: large on a GPU, small on a CPU

The others hold the checks themselves. A check yields a Finding a row; nothing is imported here that a bare machine with
torch might not have.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Status = Literal["yes", "no", "skipped", "timed"]


class Finding(NamedTuple):
    """A row of the table."""

    what: str
    proven: Status  # timed: a figure alone, nothing is claimed
    figure: str = ""
    beside: str = ""  # a floor, or a ratio to another way
    why: str = ""  # what was compared; of what failed or was skipped, the reason
    numbers: Mapping[str, Any] = MappingProxyType({})  # the same for programs


def as_row(finding: Finding) -> dict[str, Any]:
    """As JSON has it."""
    return {**finding._asdict(), "numbers": dict(finding.numbers)}


def yes_or_no(held: bool) -> Status:
    return "yes" if held else "no"
