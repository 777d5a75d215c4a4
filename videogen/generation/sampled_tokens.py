"""Make a token set that a prior samples: captions and controls of another set, and the model's own latent frames.

A prior that is to need few proposals learns from it what a slower, guided one makes of a caption. Shards that are whole
are kept when the command runs again; a clip depends on its own seed, not on its batch.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sampling.config import SamplerConfig
from videogen.control_plan import ControlPlan, control_plan
from videogen.errors import CheckpointError, UsageError
from videogen.generate import GenerationRequest, begin_rollout, control_at, empty_context, sample
from videogen.models import PriorModel
from videogen.system.threads import on_free_cores
from videogen.tokens.description import Description, write_or_compare
from videogen.tokens.shard_tasks import LOCKS, claimed
from videogen.tokens.shards import ShardMetadata, is_whole, write_shard
from videogen.tokens.token_set import TokenClip, TokenSet

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class TokenSampling:
    """What is sampled, beside the model and the captions."""

    sampler: SamplerConfig
    seed: int = 0  # clip i has seed + i
    clips: int | None = None  # the first ones; None: all
    frames: int | None = None  # at most so many of each clip; None: as many as it has
    batch: int = 16  # clips sampled at the same time


def sample_tokens(
    model: PriorModel, source: TokenSet, out: Path, settings: TokenSampling, on_progress: OnProgress | None = None
) -> TokenSet:
    """A set of latent frames that the model samples for the captions of `source`.

    UsageError or CheckpointError if the model cannot, or if the folder `out` holds other tokens. `on_progress` counts
    clips.
    """
    check_source(model, source)
    description = describe(model, source, settings)
    out.mkdir(parents=True, exist_ok=True)
    with claimed(out / LOCKS / "tokens.lock", wait=True):
        write_or_compare(out, description)
        for shard in range(description.shards):
            make_shard(model, source, out, settings, description, shard)
            if on_progress:
                on_progress(description.slice_of(shard).stop, description.count)
    return TokenSet.open(out, description.tokenizer)


def check_source(model: PriorModel, source: TokenSet) -> None:
    if model.tokenizer.fingerprint != source.description.tokenizer:
        raise CheckpointError(
            f"{model.path}: its prior is for tokens of the tokenizer {model.tokenizer.fingerprint[:12]}; "
            f"{source.folder} holds tokens of {source.description.tokenizer[:12]}"
        )
    if model.conditioner is None:
        raise UsageError(f"{model.path}: its prior takes no captions, so there is nothing to sample tokens for")
    source.require_control(model.config.control)


def describe(model: PriorModel, source: TokenSet, settings: TokenSampling) -> Description:
    """The description of the new set: its clips are determined by the source, the model and the settings."""
    known = source.description
    count = min(known.count, settings.clips or known.count)
    made = {**asdict(settings), "batch": None, "model": model.fingerprint, "source": known.data}
    data = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    clips = replace(known.clips, frames=settings.frames or known.clips.frames)
    return replace(known, data=data, count=count, clips=clips)


def make_shard(
    model: PriorModel, source: TokenSet, out: Path, settings: TokenSampling, description: Description, shard: int
) -> None:
    """Sample the clips of a shard, unless it is there."""
    numbers, spec = description.slice_of(shard), description.spec
    clips = [source.clip(number) for number in numbers]
    frames = tuple(min(clip.frames, settings.frames or clip.frames) for clip in clips)
    metadata = ShardMetadata(
        keys=tuple(clip.key for clip in clips),
        captions=tuple(clip.caption for clip in clips),
        frames=frames,
        latent_frames=tuple(spec.latent_frames(each) for each in frames),
    )
    if is_whole(out, shard, metadata):
        return
    codes = codes_of_all(model, clips, metadata.latent_frames, settings, settings.seed + numbers.start, description)
    rows = [
        clip.control[:count]
        for clip, count in zip(clips, metadata.latent_frames, strict=True)
        if clip.control is not None
    ]
    control = None if description.control is None else (description.control, torch.cat(rows).numpy())
    write_shard(out, shard, metadata, spec, codes, control)


def codes_of_all(
    model: PriorModel,
    clips: list[TokenClip],
    latent_frames: tuple[int, ...],
    settings: TokenSampling,
    seed: int,
    description: Description,
) -> Iterator[NDArray[Any]]:
    """The codes [T', N, K] of each clip, batch by batch."""
    for first in range(0, len(clips), settings.batch):
        some = clips[first : first + settings.batch]
        counts = latent_frames[first : first + settings.batch]
        request = GenerationRequest(
            prompts=tuple(clip.caption for clip in some),
            negative_prompts=("",) * len(some),
            seeds=tuple(range(seed + first, seed + first + len(some))),
            sampler=settings.sampler,
            controls=controls_of(some, description),
        )
        sampled = sample_latents(model, request, max(counts), description)
        yield from (codes[:count].numpy() for codes, count in zip(sampled, counts, strict=True))


def controls_of(clips: list[TokenClip], description: Description) -> tuple[ControlPlan, ...]:
    known = description.control
    return () if known is None else tuple(control_plan(clip.control, known) for clip in clips)


@torch.no_grad()
@on_free_cores
def sample_latents(model: PriorModel, request: GenerationRequest, count: int, description: Description) -> Tensor:
    """So many latent frames [B, T', N, K] from the start of a video; nothing is decoded."""
    rollout, _ = begin_rollout(model, request, empty_context(model, len(request.seeds), description.spec))
    latents = []
    for number in range(count):
        rollout, sampled = sample(model, request, rollout, control_at(model, request, number))
        latents.append(sampled.codes_BNK)
    return torch.stack(latents, 1).cpu()
