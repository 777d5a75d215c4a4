"""The result of checking one law on somebody's weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether a law held, or that it was left out because the model does not offer what the law needs."""

    law: str
    held: bool
    detail: str
    skipped: bool = False
