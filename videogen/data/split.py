"""Clips held out for validation by a hash of their keys, so that a set that grows keeps its validation clips."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from videogen.data.index.clip_index import Index
from videogen.errors import DataError
from videogen.storage import Location

NAMED = 3  # clips that an error names
SPLIT_ADVICE = "raise data.validation_share, or name a set for it in data.validation"


def hold_out(index: Index, share: float) -> tuple[Index, Index]:
    """The set split into clips to train on, with the refused entries, and clips held out for validation."""
    draws = [hash_fraction(clip.entry.key) for clip in index.good]
    check_split(index.data, draws, share)
    kept = tuple(clip for clip, drawn in zip(index.good, draws, strict=True) if drawn >= share)
    held = tuple(clip for clip, drawn in zip(index.good, draws, strict=True) if drawn < share)
    return replace(index, good=kept), replace(index, good=held, refused=())


def hash_fraction(key: str) -> float:
    """A number in [0, 1) from a hash of the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def check_split(data: Location, draws: Sequence[float], share: float) -> None:
    """DataError if no clip is left to train on, or none to validate with; the error names a share that works."""
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
    """A share of few digits near this one that leaves clips on both sides; None if no share does."""
    smallest, largest = min(draws, default=0.0), max(draws, default=0.0)
    if smallest == largest:
        return None
    for digits in range(2, 17):
        units = 10**digits
        better: float = (math.floor(smallest * units) + 1 if share <= smallest else math.floor(largest * units)) / units
        if smallest < better <= largest:
            return better
    return largest


def describe_held_out(keys: Iterable[str], count: int) -> str:
    """What an error calls the held-out clips, with the keys of the first few."""
    more = f" and {count - NAMED} more" if count > NAMED else ""
    return f"clips kept for validation ({', '.join(islice(keys, NAMED))}{more})"
