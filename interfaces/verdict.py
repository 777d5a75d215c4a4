"""The result of checking one law on somebody's weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    law: str
    held: bool
    detail: str
