"""A slow reference: samples all codes first, then decodes them in one call."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sampling.config import SamplerConfig
from sampling.rollout import commit_codes, sample_frames, start_rollout
from videogen.io.pixels import to_frames
from videogen.pipeline import VideoPipeline

Scene = tuple[str, int]  # a prompt, and how many latent frames under it


def begun(pipe: VideoPipeline, prompt: str, sampler: SamplerConfig, codes_BTNK: Tensor) -> Any:
    network, conditioner = pipe.model.network, pipe.model.conditioner
    captions = [prompt, ""] if sampler.guided else [prompt]
    text = None if conditioner is None else conditioner(captions)
    past = network.begin(text, len(captions))
    return commit_codes(network, past, codes_BTNK.expand(len(captions), -1, -1, -1))


def codes_of(
    pipe: VideoPipeline, scenes: Sequence[Scene], seed: int, sampler: SamplerConfig, given: Tensor, cut: bool = False
) -> list[Tensor]:
    """The codes [1, T, N, K] of each scene; the first one continues the given codes."""
    scenes_codes: list[Tensor] = []
    number, window = given.shape[1], pipe.model.config.window
    for prompt, frames in scenes:
        before = given[:, :0] if cut and scenes_codes else torch.cat([given, *scenes_codes], 1)
        past, previous = begun(pipe, prompt, sampler, before[:, -window:]), before[:, -1] if before.shape[1] else None
        rollout = start_rollout(pipe.model.network, past, [seed], None, number, previous)
        sampled = sample_frames(pipe.model.network, rollout, sampler, frames)
        scenes_codes.append(torch.stack([one.codes_BNK for one in sampled], 1))
        number += frames
    return scenes_codes


def frames_of(pipe: VideoPipeline, given: Tensor, codes: Sequence[Tensor], cut: bool = False) -> np.ndarray:
    """The frames of the scenes without the given ones; after a cut, each scene is decoded alone."""

    def decoded(codes_BTNK: Tensor) -> np.ndarray:
        return to_frames(pipe.model.tokenizer.network.decode(codes_BTNK, pipe.model.spec)[0])[0].numpy()

    if cut:
        return np.concatenate([decoded(scene) for scene in codes])
    return decoded(torch.cat([given, *codes], 1))[pipe.model.spec.video_frames(given.shape[1]) :]
