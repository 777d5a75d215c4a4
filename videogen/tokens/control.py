"""The control of a clip: what its frames are conditioned on beyond the caption, such as the actions of a player.

`NAME.control.npy` beside the video `NAME.mp4` holds one row for each frame of the video: integers [frames], which are
actions numbered from 0, or floats [frames, d]. A latent frame gets the row of its first frame. All clips of a set have
a control of one kind, or none has one; videos in archives have none.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interfaces.tokens import TokenSpec
from prior.config import ControlConfig
from videogen.data.window import frame_numbers
from videogen.errors import DataError
from videogen.io import Cell, Source, Span
from videogen.storage import Location
from videogen.tokens.plan import PlannedClip

SUFFIX = ".control.npy"


def with_controls(clips: Sequence[PlannedClip]) -> tuple[tuple[PlannedClip, ...], ControlConfig | None]:
    """The clips with the hashes of their control files, and what these hold; DataError where they do not agree."""
    there = [_file_of(clip) for clip in clips]
    if not any(there):
        return tuple(clips), None
    specs, found = [], []
    for clip, path in zip(clips, there, strict=True):
        if path is None:
            named = next(path for path in there if path is not None)
            raise DataError(
                f"{clip.clip.entry.key}: has no {SUFFIX} file, but other clips have one ({named.name}); "
                "give one to each clip or to none"
            )
        rows, digest = read_control(path, len(clip.clip.scan.pts))
        specs.append(_spec_of(rows))
        found.append(replace(clip, control_sha256=digest))
        if specs[-1].floats != specs[0].floats:
            raise DataError(f"{path}: {_described(specs[-1])}; that of {there[0]} has {_described(specs[0])}")
    if specs[0].floats is not None:
        return tuple(found), specs[0]
    return tuple(found), ControlConfig(discrete=max(spec.discrete or 0 for spec in specs))


def control_rows(planned: PlannedClip, fps: float, spec: TokenSpec) -> NDArray[Any]:
    """The control of each latent frame of a clip [T'] or [T', d]; DataError if its file is not the one planned with."""
    path = control_path(planned.clip.entry.source)
    assert path is not None, "only clips with a control have a hash of it"
    rows, digest = read_control(path, len(planned.clip.scan.pts))
    if digest != planned.control_sha256:
        raise DataError(f"{path}: changed since the encoding began; begin again")
    numbers = frame_numbers(planned.clip.scan.seconds, planned.first, planned.frames, fps)
    firsts = [spec.video_frames(latent) for latent in range(spec.latent_frames(planned.frames))]
    return rows[numbers[firsts]]


def read_control(path: Location, frames: int) -> tuple[NDArray[Any], str]:
    """Rows int64 [frames] or float32 [frames, d] of a control file, and its SHA-256."""
    try:
        raw = path.read_bytes()
        rows = np.load(io.BytesIO(raw), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not an .npy file of numbers ({error})") from None
    form = f"{rows.dtype.kind}{rows.ndim}" if isinstance(rows, np.ndarray) else None
    if form not in ("i1", "u1", "f2") or rows.shape[1:] == (0,):
        given = f"{rows.dtype} {list(rows.shape)}" if form else "an archive of arrays"
        raise DataError(f"{path}: is {given}; expected integers [frames] or floats [frames, d]")
    if len(rows) != frames:
        raise DataError(f"{path}: has {len(rows)} rows; its video has {frames} frames")
    digest = hashlib.sha256(raw).hexdigest()
    if form == "f2":
        numbers = rows.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise DataError(f"{path}: holds a number that is not finite")
        return numbers, digest
    if not 0 <= int(rows.min()) <= int(rows.max()) < np.iinfo(np.int64).max:
        raise DataError(f"{path}: actions reach from {rows.min()} to {rows.max()}; they are numbered from 0")
    return rows.astype(np.int64), digest


def control_path(source: Source) -> Location | None:
    """Where the control of a video lies if it has one; None for a video in an archive."""
    return None if isinstance(source, Span | Cell) else source.with_suffix(SUFFIX)


def _file_of(clip: PlannedClip) -> Location | None:
    path = control_path(clip.clip.entry.source)
    return path if path is not None and path.is_file() else None


def _spec_of(rows: NDArray[Any]) -> ControlConfig:
    return ControlConfig(discrete=int(rows.max()) + 1) if rows.ndim == 1 else ControlConfig(floats=rows.shape[1])


def _described(spec: ControlConfig) -> str:
    return "actions" if spec.floats is None else f"{spec.floats} floats a frame"
