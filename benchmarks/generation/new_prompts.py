"""What becomes of a new prompt in the middle of a stream: as many streams as prompts, each told another prompt later.

The prompt is changed after some latent frames, in the ways that a stream offers and without the opening that it gives a
new prompt; the last pictures are judged by the playroom's oracle, which knows nothing of what was there before.
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
from benchmarks.measuring.hardware import describe
from videogen.evaluation.generation.prompts import Clips, read_prompts
from videogen.generate import Going, Job, begin, cut_to_new_prompts, go_on, kept, under_new_prompts
from videogen.models import PriorModel
from videogen.pipeline import VideoPipeline

BATCH = 16
BEFORE, AFTER = 5, 6  # latent frames
SCORED = 17  # pictures at the end
PromptChange = Callable[[PriorModel, Job, Going], Going]
CHANGES: dict[str, tuple[PromptChange, dict[str, Any]]] = {
    "recache": (under_new_prompts, {}),
    "recache without an opening": (under_new_prompts, {"first_frames_step_multiplier": 1}),
    "cut": (cut_to_new_prompts, {}),
}


def change_prompts(pipe: VideoPipeline, first: list[str], then: list[str], seeds: list[int]) -> dict[str, Clips]:
    """The last pictures of streams that began with one prompt and go on with another, in each of the ways."""
    model, job = pipe.model, pipe.job(first, None, 1, seeds, {})
    going, _ = advance(model, job, begin(model, job), BEFORE)
    seen = {}
    for name, (turn, settings) in CHANGES.items():
        told = replace(job, prompts=tuple(then), sampler=replace(job.sampler, **settings))
        _, pictures = advance(model, told, turn(model, told, kept(going)), AFTER)
        seen[name] = pictures[:, -SCORED:]
    return seen


def advance(model: PriorModel, job: Job, going: Going, frames: int) -> tuple[Going, Clips]:
    pictures = []
    for _ in range(frames):
        going, made = go_on(model, job, going)
        pictures.append(made.pictures.cpu().numpy())
    return going, np.concatenate(pictures, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="the one that comes along by default")
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
        print(json.dumps({"hardware": describe(), "ways": found}, indent=2))
        return
    print(f"{prompts.name}, judged {SCORED} pictures of each, {describe()}")
    width = max(map(len, CHANGES))
    print(f"{'':{width}}  all right  attributes  {'  '.join(ATTRIBUTES)}")
    for name, figures in found.items():
        shares = "  ".join(f"{figures['by_attribute'][attribute]:{len(attribute)}.0%}" for attribute in ATTRIBUTES)
        print(f"{name:{width}}  {figures['all_correct']:9.0%}  {figures['attributes']:10.0%}  {shares}")


if __name__ == "__main__":
    main()
