"""Some clips kept back: by a hash of their keys, so that a set that grows keeps its validation clips."""

import hashlib
from dataclasses import replace

from videogen.data.index import Index
from videogen.errors import DataError


def hold_out(index: Index, share: float) -> tuple[Index, Index]:
    """The set without the clips that are kept for validation, and those; refused entries stay with the first."""
    kept = tuple(clip for clip in index.good if draw(clip.entry.key) >= share)
    held = tuple(clip for clip in index.good if draw(clip.entry.key) < share)
    if not kept or not held:
        raise DataError(
            f"{index.data}: of {len(index.good)} clips a share of {share:g} for validation leaves {len(kept)} to train "
            f"on and {len(held)} to validate with; give another data.validation_share, or data.validation: another set"
        )
    return replace(index, good=kept), replace(index, good=held, refused=())


def draw(key: str) -> float:
    """A number in [0, 1) that is a function of the key alone."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
