"""Make a token set from an index.

A run that was killed resumes: shards that are whole are kept, and the bytes in the end are the same. Several runs on
one folder, or several workers of one run, share the shards.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interfaces.tokens import TokenSpec
from videogen.data.index.clip_index import Index
from videogen.errors import DataError, UsageError
from videogen.executors.base import Executor
from videogen.executors.local import LocalExecutor
from videogen.io import path_of
from videogen.tokens.control import with_controls
from videogen.tokens.description import Description, EncodeSpec, write_or_compare
from videogen.tokens.plan import PlannedClip, data_fingerprint, plan
from videogen.tokens.shard_tasks import LOCKS, ShardTask, WorkerPool, claimed, run_tasks
from videogen.tokens.shards import ShardMetadata, tensors_at

if TYPE_CHECKING:
    from videogen.models import TokenizerModel

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class EncodeResult:
    """A finished set, and what this run did for it."""

    description: Description
    frames: int
    latent_frames: int
    bytes: int
    encoded: int  # clips that this run encoded; the others were there
    empty: tuple[str, ...]  # keys of clips whose window holds no frame: left out

    @property
    def tokens(self) -> int:
        return self.latent_frames * self.description.spec.tokens

    @property
    def bits_per_pixel(self) -> float:
        """Bits of all tokens over the pixels of all frames; NaN where tokens are continuous."""
        clips = self.description.clips
        return self.tokens * self.description.spec.bits / (self.frames * clips.height * clips.width)


def encode(
    index: Index,
    out: Path,
    model: "TokenizerModel",
    clips: EncodeSpec | None = None,
    clips_per_shard: int = 64,
    workers: int = 1,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
    executor: Executor | None = None,
    device: str | None = None,
) -> EncodeResult:
    """Encode every usable clip of the index into the folder `out`, by default as the tokenizer was trained.

    More than one worker means processes with `threads` threads each (an equal share of the cores); an `executor` may
    run them elsewhere, on their own `device` (the model's).

    UsageError if the folder holds other tokens; VideoError if a file is not as it was indexed, and what was made stays.
    `on_progress` counts clips.
    """
    clips = clips or EncodeSpec(model.clips.height, model.clips.width, model.clips.fps)
    spec = _checked_spec(model, clips, clips_per_shard)
    planned, empty = plan(index, clips)
    if not planned:
        raise DataError(f"{index.data}: none of its {len(index.entries)} clips can be encoded")
    planned, control = with_controls(planned)
    description = Description(
        tokenizer=model.fingerprint,
        spec=spec,
        clips=clips,
        data=data_fingerprint(index, planned),
        count=len(planned),
        clips_per_shard=clips_per_shard,
        control=control,
    )
    out = Path(out)
    _begin(out, description)
    tasks = [_task(out, description, number, planned) for number in range(description.shards)]
    executor = executor or LocalExecutor(workers, threads)
    executor.check([model.path, *dict.fromkeys(path_of(each.clip.entry.source).parent for each in planned)], out)
    pool = WorkerPool(model, executor, device or str(model.network.device))
    encoded = run_tasks(tasks, pool, on_progress)
    latent_frames = sum(sum(task.metadata.latent_frames) for task in tasks)
    size = sum(tensors_at(out, number).stat().st_size for number in range(description.shards))
    return EncodeResult(description, sum(clip.frames for clip in planned), latent_frames, size, encoded, empty)


def _checked_spec(model: "TokenizerModel", clips: EncodeSpec, clips_per_shard: int) -> TokenSpec:
    """The tokens of a frame of this size; UsageError for what cannot be encoded."""
    model.check_causal()
    multiple = model.network.size_multiple
    for name, value in (("height", clips.height), ("width", clips.width)):
        if value < 1 or value % multiple:
            raise UsageError(f"{name} is {value}; this tokenizer needs multiples of {multiple}")
    if not 0 < clips.fps < math.inf:
        raise UsageError(f"fps is {clips.fps}; it must be above 0")
    for name, number in (("frames", clips.frames), ("clips a shard", clips_per_shard)):
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}; it must be at least 1")
    try:
        return model.spec_of(clips.height, clips.width)
    except ValueError as error:
        raise UsageError(f"{clips.height} x {clips.width}: {error}") from None


def _begin(out: Path, description: Description) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder for the tokens")
    out.mkdir(parents=True, exist_ok=True)
    with claimed(out / LOCKS / "tokens.lock", wait=True):
        write_or_compare(out, description)


def _task(out: Path, description: Description, number: int, clips: tuple[PlannedClip, ...]) -> ShardTask:
    own = tuple(clips[place] for place in description.slice_of(number))
    metadata = ShardMetadata(
        keys=tuple(each.clip.entry.key for each in own),
        captions=tuple(each.clip.entry.caption for each in own),
        frames=tuple(each.frames for each in own),
        latent_frames=tuple(description.spec.latent_frames(each.frames) for each in own),
    )
    return ShardTask(out, description, number, own, metadata)
