"""Checks and timings of every code path for a GPU, in a few minutes: `make gpu-check`.

    checks/           one module for each check, and the table of checks in order of priority
    runner.py         runs each check in its own process with a time limit, and saves results after each
    worker.py         the process of one check
    report.py         docs/gpu.json, and docs/gpu.md made from it
    graphed_prior.py  a prior whose proposals are replayed as a CUDA graph

A check yields one Finding per row. Nothing is imported here that needs more than torch.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Status = Literal["yes", "no", "skipped", "timed"]


class Finding(NamedTuple):
    """A row of the table."""

    what: str
    proven: Status  # timed: a figure without a claim
    figure: str = ""
    beside: str = ""  # a roofline, or a ratio
    why: str = ""  # what was compared, or the reason of a failure or a skip
    numbers: Mapping[str, Any] = MappingProxyType({})  # for programs


def as_row(finding: Finding) -> dict[str, Any]:
    """JSON types."""
    return {**finding._asdict(), "numbers": dict(finding.numbers)}


def yes_or_no(held: bool) -> Status:
    return "yes" if held else "no"
