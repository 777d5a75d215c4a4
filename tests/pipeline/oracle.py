"""The same videos the slow way: all ids first, by the sampler alone, and one decoding of everything at the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sampling.config import SamplerConfig
from sampling.rollout import remember, roll_out, start
from videogen.pipeline import VideoPipeline
from videogen.pixels import to_frames

Scene = tuple[str, int]  # a prompt, and how many latent frames under it


def begun(pipe: VideoPipeline, prompt: str, sampler: SamplerConfig, ids_BThw: Tensor) -> Any:
    network, told = pipe.model.network, pipe.model.conditioner
    captions = [prompt, ""] if sampler.guided else [prompt]
    text = None if told is None else told(captions)
    past = network.begin(text, len(captions), (ids_BThw.shape[2], ids_BThw.shape[3]))
    return remember(network, past, ids_BThw.expand(len(captions), -1, -1, -1))


def ids_of(
    pipe: VideoPipeline, scenes: Sequence[Scene], seed: int, sampler: SamplerConfig, known: Tensor, cut: bool = False
) -> list[Tensor]:
    """The ids [1, T, h, w] of each scene, the first after what is known; a scene sees the window before it."""
    made: list[Tensor] = []
    number = known.shape[1]
    for prompt, frames in scenes:
        before = known[:, :0] if cut and made else torch.cat([known, *made], 1)
        sinks = pipe.model.config.sink_frames
        seen = torch.cat([before[:, :sinks], before[:, sinks:][:, -pipe.model.network.window :]], 1)
        rollout = start(pipe.model.network, begun(pipe, prompt, sampler, seen), [seed], before.shape[2:], "cpu", number)
        decided = roll_out(pipe.model.network, rollout, sampler, frames)
        made.append(torch.stack([one.ids_Bhw for one in decided], 1))
        number += frames
    return made


def pictures_of(pipe: VideoPipeline, known: Tensor, ids: Sequence[Tensor], cut: bool = False) -> np.ndarray:
    """Decoded in one go, less what was known; after a cut, each scene by itself."""
    decode = pipe.model.tokenizer.network.decode
    if cut:
        return np.concatenate([to_frames(decode(scene)[0])[0].numpy() for scene in ids])
    whole = to_frames(decode(torch.cat([known, *ids], 1))[0])[0].numpy()
    return whole[pipe.model.tokenizer.config.video_frames(known.shape[1]) if known.shape[1] else 0 :]
