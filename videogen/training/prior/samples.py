"""What a prior generates while it is trained: histories to train on, and videos to look at."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokenizer import decode_clip
from interfaces.tokens import TokenSpec
from prior.model import PriorBatch
from prior.network import PriorNetwork
from sampling.config import SamplerConfig
from sampling.rollout import commit_codes, sample_frames, start_rollout
from videogen.io import write_video
from videogen.io.contact_sheet import contact_sheet, mosaic
from videogen.io.pixels import to_frames
from videogen.models import TokenizerModel
from videogen.training.prior.config import PriorPhaseConfig


@torch.no_grad()
def rollout_history(network: PriorNetwork, batch: PriorBatch, phase: PriorPhaseConfig, seeds: Sequence[int]) -> Tensor:
    """The clips as the prior continues their first latent frame [B, T, N, K].

    Training on such histories teaches the prior to predict true frames after its own errors, as in a long stream.
    """
    clips, frames = batch.targets.shape[:2]
    first, control = batch.targets[:, :1], batch.control
    past = network.begin(batch.text, clips, batch.spec)
    past = commit_codes(network, past, first, None if control is None else control[:, :1])
    rollout = start_rollout(network, past, seeds, batch.spec, first_frame=1)
    sampler, missing = SamplerConfig(steps=phase.rollout_steps), max(0, frames - 2)
    sampled = sample_frames(network, rollout, sampler, missing, control=None if control is None else control[:, 1:])
    last = batch.targets[:, -1:]  # no later frame sees it
    return torch.cat([first, *(each.codes_BNK.unsqueeze(1) for each in sampled), last], 1)[:, :frames]


def rollout_seeds(keys: Sequence[str], seed: int, step: int) -> list[int]:
    """One seed for each clip, whichever process has it."""
    digests = (hashlib.sha256(f"rollout {seed} {step} {key}".encode()).digest() for key in keys)
    return [int.from_bytes(digest[:8], "little") >> 1 for digest in digests]


@torch.no_grad()
def write_samples(
    network: PriorNetwork,
    tokenizer: TokenizerModel,
    text: Text | None,
    captions: Sequence[str],
    spec: TokenSpec,
    latent_frames: int,
    fps: float,
    place: Path,
) -> None:
    """Write a video of each caption: as a contact sheet (`place`.png) and as one video (`place`.mp4)."""
    rollout = start_rollout(network, network.begin(text, len(captions), spec), range(len(captions)), spec)
    sampler = SamplerConfig(order="autoregressive" if network.autoregressive else "halton")
    codes_BTNK = torch.stack([each.codes_BNK for each in sample_frames(network, rollout, sampler, latent_frames)], 1)
    state = tokenizer.begin_decoding(captions)
    clip = decode_clip(tokenizer.network, codes_BTNK.to(tokenizer.network.device), spec, state)
    videos = list(to_frames(clip).cpu().numpy())
    scale = max(1, round(112 / videos[0].shape[1]))
    contact_sheet(videos, list(captions), scale=scale).save(place.with_suffix(".png"))
    write_video(place.with_suffix(".mp4"), np.asarray(mosaic(videos, columns=4, scale=scale)), fps)
