"""Some clips kept back: by a hash of their keys, so that a set that grows keeps its validation clips."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from videogen.data.index.build import Index
from videogen.errors import DataError

NAMED = 3  # how many clips an error names
TO_KEEP_OTHERS = "raise data.validation_share, or name a set for it in data.validation"


def hold_out(index: Index, share: float) -> tuple[Index, Index]:
    """The set without the clips that are kept for validation, and those; refused entries stay with the first."""
    draws = [draw(clip.entry.key) for clip in index.good]
    refuse_one_sided(index.data, draws, share)
    kept = tuple(clip for clip, drawn in zip(index.good, draws, strict=True) if drawn >= share)
    held = tuple(clip for clip, drawn in zip(index.good, draws, strict=True) if drawn < share)
    return replace(index, good=kept), replace(index, good=held, refused=())


def draw(key: str) -> float:
    """A number in [0, 1) that is a function of the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def refuse_one_sided(data: Path, draws: Sequence[float], share: float) -> None:
    """DataError where none of the clips is left to train on, or none to validate with; it says which share would do."""
    held = sum(drawn < share for drawn in draws)
    if 0 < held < len(draws):
        return
    better = nearest_share(draws, share)
    advice = ""
    if better is not None:
        advice = f"a share of {better:.16g} would keep {sum(drawn < better for drawn in draws)}; "
    raise DataError(
        f"{data}: of {len(draws)} clips a share of {share:g} for validation leaves {len(draws) - held} to train on and "
        f"{held} to validate with; {advice}give another data.validation_share, or data.validation: another set"
    )


def nearest_share(draws: Sequence[float], share: float) -> float | None:
    """A share of few digits near this one that leaves clips on both sides; None where no share does."""
    smallest, largest = min(draws, default=0.0), max(draws, default=0.0)
    if smallest == largest:
        return None
    for digits in range(2, 17):
        units = 10**digits
        better: float = (math.floor(smallest * units) + 1 if share <= smallest else math.floor(largest * units)) / units
        if smallest < better <= largest:
            return better
    return largest


def kept_for_validation(keys: Iterable[str], count: int) -> str:
    """What an error calls so many held-out clips: whoever asked for a share has never seen which these are."""
    more = f" and {count - NAMED} more" if count > NAMED else ""
    return f"clips kept for validation ({', '.join(islice(keys, NAMED))}{more})"
