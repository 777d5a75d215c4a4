"""The result of checking one law on the weights of a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Whether a law held; `skipped` if the model lacks what the law needs."""

    law: str
    held: bool
    detail: str
    skipped: bool = False
