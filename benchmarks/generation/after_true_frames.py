"""Where a prior departs from its prompt: oracle scores of clips that start with 0, 1, ... true latent frames.

With none, the prior generates the whole clip; with all of them, only the tokenizer is measured. The difference of two
rows is the cost of the latent frame between them. The clips are of the playroom.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interfaces.tokenizer import encode_clip
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.prompts import Prompts, read_prompts, true_clips
from videogen.generate import Context, generate
from videogen.io.pixels import to_clip, to_frames
from videogen.pipeline import VideoPipeline
from videogen.playroom.oracle import look
from videogen.playroom.score import Score
from videogen.system.hardware import describe

BATCH = 16
ATTRIBUTES = ("shape", "size", "motion", "speed")


@torch.no_grad()
def complete_clips(pipe: VideoPipeline, prompts: Prompts, true: Clips, given: int) -> Clips:
    """Clips that continue the first `given` latent frames of the true ones."""
    tokenizer, spec, whole = pipe.model.tokenizer.network, pipe.model.spec, []
    for start in range(0, len(true), BATCH):
        codes_BTNK = encode_clip(tokenizer, to_clip(true[start : start + BATCH]))
        seeds = list(range(start, start + len(codes_BTNK)))
        request = pipe.request(tuple(prompts.captions[start : start + BATCH]), None, 1, seeds, {})
        context = Context(codes_BTNK[:, :given], spec)
        missing = true.shape[1] - spec.video_frames(given)
        known = [to_frames(tokenizer.decode(context.codes_BTNK, spec)[0])] if given else []
        outputs = generate(pipe.model, request, context, missing)
        whole.append(torch.cat([*known, *(each.frames for each in outputs)], 1)[:, : true.shape[1]].cpu().numpy())
    return np.concatenate(whole)


def score_clips(clips: Clips, prompts: Prompts) -> dict[str, Any]:
    score = Score()
    for wanted, seen in zip(prompts.wanted, look(clips), strict=True):
        if wanted is not None:
            score.add(wanted, seen.scene)
    return score.figures()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="default: the bundled model")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipe, prompts = VideoPipeline.from_pretrained(arguments.model), read_prompts(f"playroom:{arguments.prompts}")
    assert prompts.drawn is not None
    size = pipe.model.clips.height
    true = true_clips(prompts.drawn, arguments.frames, size, size, pipe.fps).numpy()
    frames = pipe.model.spec.latent_frames(arguments.frames)
    found = {given: score_clips(complete_clips(pipe, prompts, true, given), prompts) for given in range(frames + 1)}
    if arguments.json:
        print(json.dumps({"hardware": describe(), "true latent frames": found}, indent=2))
        return
    print(f"{arguments.prompts} prompts, {frames} latent frames each, {describe()}")
    print(f"true ones  all right  attributes  {'  '.join(ATTRIBUTES)}")
    for given, figures in found.items():
        shares = "  ".join(f"{figures['by_attribute'][name]:{len(name)}.0%}" for name in ATTRIBUTES)
        print(f"{given:9}  {figures['all_correct']:9.0%}  {figures['attributes']:10.0%}  {shares}")


if __name__ == "__main__":
    main()
