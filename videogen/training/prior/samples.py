"""What a prior makes by itself while it is being trained: histories to learn from, and videos to look at."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from interfaces.prior import Text
from torch import Tensor

from prior.model import Lesson, LlamaPrior
from sampling.config import SamplerConfig
from sampling.rollout import remember, roll_out, start
from videogen.io import write_video
from videogen.io.contact_sheet import contact_sheet, mosaic
from videogen.models import TokenizerModel
from videogen.pixels import to_frames
from videogen.training.prior.config import PriorPhaseConfig


@torch.no_grad()
def own_history(network: LlamaPrior, lesson: Lesson, phase: PriorPhaseConfig, seeds: Sequence[int]) -> Tensor:
    """The clips as the prior goes on with them after their first `rollout_keep` frames, int64 [B, T, h, w].

    So it learns to foretell true frames from its own mistakes, which it will meet in every long stream.
    """
    batch, frames, height, width = lesson.targets.shape
    kept = lesson.targets[:, : phase.rollout_keep]
    past = remember(network, network.begin(lesson.text, batch, (height, width)), kept)
    begun = start(network, past, seeds, (height, width), lesson.targets.device, first_frame=kept.shape[1])
    sampler = SamplerConfig(steps=phase.rollout_steps)
    made = roll_out(network, begun, sampler, max(0, frames - 1 - kept.shape[1]))
    last = lesson.targets[:, -1:]  # nothing looks back at it
    return torch.cat([kept, *(decided.ids_Bhw.unsqueeze(1) for decided in made), last], 1)[:, :frames]


def seeds_of(keys: Sequence[str], seed: int, step: int) -> list[int]:
    """One for each clip, whichever process has it."""
    words = (hashlib.sha256(f"rollout {seed} {step} {key}".encode()).digest() for key in keys)
    return [int.from_bytes(word[:8], "little") >> 1 for word in words]


@torch.no_grad()
def draw_rollouts(
    network: LlamaPrior,
    tokenizer: TokenizerModel,
    text: Text | None,
    captions: Sequence[str],
    grid: tuple[int, int],
    frames: int,
    fps: float,
    place: Path,
) -> None:
    """Videos of these captions: a contact sheet (`place`.png) and a film (`place`.mp4)."""
    device = network.norm.weight.device
    past = network.begin(text, len(captions), grid)
    begun = start(network, past, range(len(captions)), grid, device)
    sampler = SamplerConfig(order="autoregressive" if network.config.objective == "next" else "halton")
    ids_BThw = torch.stack([decided.ids_Bhw for decided in roll_out(network, begun, sampler, frames)], 1)
    clip, _ = tokenizer.network.decode(ids_BThw.to(next(tokenizer.network.parameters()).device))
    pictures = list(to_frames(clip).cpu().numpy())
    scale = max(1, round(112 / pictures[0].shape[1]))
    contact_sheet(pictures, list(captions), scale=scale).save(place.with_suffix(".png"))
    write_video(place.with_suffix(".mp4"), np.asarray(mosaic(pictures, columns=4, scale=scale)), fps)
