"""Make a set of tokens out of an index.

Kill it whenever you like and begin again: shards that are whole are kept, and the bytes in the end are the same. Start
it several times on one folder, or ask for workers, and they share the shards.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from videogen.data.index.build import Index, cores
from videogen.errors import DataError, UsageError
from videogen.models import TokenizerModel
from videogen.tokens.description import Cut, Description, agree
from videogen.tokens.plan import PlannedClip, data_fingerprint, plan
from videogen.tokens.shards import Contents, tensors_at
from videogen.tokens.work import LOCKS, Crew, Errand, claimed, run_errands

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Encoded:
    """A finished set, and what this run did for it."""

    description: Description
    pictures: int
    latent_frames: int
    bytes: int
    made: int  # clips that this run encoded; the others were there
    empty: tuple[str, ...]  # keys of clips whose window shows no picture: left out

    @property
    def tokens(self) -> int:
        return self.latent_frames * math.prod(self.description.grid)

    @property
    def bits_per_pixel(self) -> float:
        """Bits of all ids over the pixels of the pictures they stand for."""
        cut = self.description.cut
        return self.tokens * math.log2(self.description.vocabulary) / (self.pictures * cut.height * cut.width)


def encode(
    index: Index,
    out: Path,
    model: TokenizerModel,
    cut: Cut | None = None,
    clips_per_shard: int = 64,
    workers: int = 1,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Encoded:
    """Encode every usable clip of the index into the folder `out`, by default as the tokenizer was trained.

    More than one worker means processes with `threads` threads each (an equal share of the cores). UsageError if the
    folder holds other tokens; VideoError if a file is not as it was indexed, and what was made stays. `on_progress`
    counts clips.
    """
    clips_seen = model.clips
    cut = cut or Cut(clips_seen.height, clips_seen.width, clips_seen.fps)
    _refuse_senseless(cut, clips_per_shard, model.config.f_s)
    clips, empty = plan(index, cut)
    if not clips:
        raise DataError(f"{index.data}: none of its {len(index.entries)} clips can be encoded")
    out, description = Path(out), _described(index, model, cut, len(clips), clips_per_shard)
    _begin(out, description)
    errands = [_errand(out, description, number, clips) for number in range(description.shards)]
    crew = Crew(model, workers, threads or max(1, cores() // workers))
    made = run_errands(errands, crew, on_progress)
    latent_frames = sum(sum(errand.contents.latent_frames) for errand in errands)
    size = sum(tensors_at(out, number).stat().st_size for number in range(description.shards))
    return Encoded(description, sum(clip.pictures for clip in clips), latent_frames, size, made, empty)


def _described(index: Index, model: TokenizerModel, cut: Cut, clips: int, clips_per_shard: int) -> Description:
    return Description(
        tokenizer=model.fingerprint,
        cut=cut,
        data=data_fingerprint(index),
        vocabulary=model.network.quantizer.size,
        f_t=model.config.f_t,
        f_s=model.config.f_s,
        clips=clips,
        clips_per_shard=clips_per_shard,
    )


def _refuse_senseless(cut: Cut, clips_per_shard: int, f_s: int) -> None:
    for name, value in (("height", cut.height), ("width", cut.width)):
        if value < 1 or value % f_s:
            raise UsageError(f"{name} is {value}; this tokenizer needs multiples of {f_s}")
    if not 0 < cut.fps < math.inf:
        raise UsageError(f"fps is {cut.fps}; it must be above 0")
    for name, number in (("frames", cut.frames), ("clips a shard", clips_per_shard)):
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}; it must be at least 1")


def _begin(out: Path, description: Description) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; name a folder for the tokens")
    out.mkdir(parents=True, exist_ok=True)
    with claimed(out / LOCKS / "tokens.lock", wait=True):
        agree(out, description)


def _errand(out: Path, description: Description, number: int, clips: tuple[PlannedClip, ...]) -> Errand:
    own = tuple(clips[place] for place in description.slice_of(number))
    contents = Contents(
        keys=tuple(each.clip.entry.key for each in own),
        captions=tuple(each.clip.entry.caption for each in own),
        pictures=tuple(each.pictures for each in own),
        latent_frames=tuple(description.latent_frames(each.pictures) for each in own),
    )
    return Errand(out, description, number, own, contents)
