"""A new prompt in the middle of a stream: oracle scores of the last frames after each kind of change.

As many streams as prompts change from one prompt to another after some latent frames: as a stream offers it, and
without the additional steps of the first latent frames after a change. The oracle does not know the frames before.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.generation.after_true_frames import ATTRIBUTES, score_clips
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.prompts import read_prompts
from videogen.generate import (
    GenerationRequest,
    GenerationState,
    clone_state,
    new_scene,
    prefill,
    step,
    switch_prompt,
)
from videogen.models import PriorModel
from videogen.pipeline import VideoPipeline
from videogen.system.hardware import describe

BATCH = 16
BEFORE, AFTER = 5, 6  # latent frames
SCORED = 17  # last frames
PromptChange = Callable[[PriorModel, GenerationRequest, GenerationState], GenerationState]
CHANGES: dict[str, tuple[PromptChange, dict[str, Any]]] = {
    "recache": (switch_prompt, {}),
    "recache, as many steps as later frames": (switch_prompt, {"first_frames_step_multiplier": 1}),
    "cut": (new_scene, {}),
}


def change_prompts(pipe: VideoPipeline, first: list[str], then: list[str], seeds: list[int]) -> dict[str, Clips]:
    """The last frames of streams that start with one prompt and continue with another, for each kind of change."""
    model, request = pipe.model, pipe.request(first, None, 1, seeds, {})
    state, _ = advance(model, request, prefill(model, request), BEFORE)
    found = {}
    for name, (change, settings) in CHANGES.items():
        changed = replace(request, prompts=tuple(then), sampler=replace(request.sampler, **settings))
        _, frames = advance(model, changed, change(model, changed, clone_state(state)), AFTER)
        found[name] = frames[:, -SCORED:]
    return found


def advance(
    model: PriorModel, request: GenerationRequest, state: GenerationState, latent_frames: int
) -> tuple[GenerationState, Clips]:
    frames = []
    for _ in range(latent_frames):
        state, output = step(model, request, state)
        frames.append(output.frames.cpu().numpy())
    return state, np.concatenate(frames, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="default: the bundled model")
    parser.add_argument("--prompts", default="playroom:64:-hoop,-tiny,-rotates")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipe, prompts = VideoPipeline.from_pretrained(arguments.model), read_prompts(arguments.prompts)
    then, count = list(prompts.captions), len(prompts.captions)
    first = then[count // 2 :] + then[: count // 2]
    parts = [
        change_prompts(pipe, first[at : at + BATCH], then[at : at + BATCH], list(range(at, min(at + BATCH, count))))
        for at in range(0, count, BATCH)
    ]
    found = {name: score_clips(np.concatenate([part[name] for part in parts]), prompts) for name in CHANGES}
    if arguments.json:
        print(json.dumps({"hardware": describe(), "changes": found}, indent=2))
        return
    print(f"{prompts.name}, the last {SCORED} frames of each, {describe()}")
    width = max(map(len, CHANGES))
    print(f"{'':{width}}  all right  attributes  {'  '.join(ATTRIBUTES)}")
    for name, figures in found.items():
        shares = "  ".join(f"{figures['by_attribute'][attribute]:{len(attribute)}.0%}" for attribute in ATTRIBUTES)
        print(f"{name:{width}}  {figures['all_correct']:9.0%}  {figures['attributes']:10.0%}  {shares}")


if __name__ == "__main__":
    main()
