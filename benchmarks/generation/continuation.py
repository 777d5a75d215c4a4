"""What a continuation keeps of a clip: without a caption, with the true caption, and with the caption that is found.

Held-out playroom clips are cut after 17 frames. The oracle compares the frames that follow to the true scene, with the
same clips and seeds in all rows. The last row, true frames through the tokenizer, is the upper bound.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interfaces.tokenizer import encode_clip
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.prompts import true_clips
from videogen.generate import Context, generate
from videogen.generation.conditioning_frames import condition_on_clip
from videogen.generation.continuation_prompt import continuation_prompt
from videogen.io.contact_sheet import contact_sheet
from videogen.io.pixels import to_clip, to_frames
from videogen.pipeline import VideoPipeline
from videogen.playroom.grammar import caption
from videogen.playroom.oracle import look
from videogen.playroom.scene import Scene, sample_scenes
from videogen.playroom.score import judge
from videogen.system.hardware import describe

SEED = 20_260_117  # of held-out scenes
PREFIX_FRAMES = 17
BATCH = 12
KEPT = ("objects", "ground pattern", "ground colour", "colour", "shape")  # what must not change
GROUPS = {
    "things": ("objects",),
    "ground": KEPT[1:3],
    "colours": ("colour",),
    "shapes": ("shape",),
    "kept": KEPT,
    "sizes": ("size",),
    "motion": ("motion", "speed"),
    "all": (*KEPT, "size", "motion", "speed"),
}


def continue_clips(pipe: VideoPipeline, contexts: Sequence[Context], prompts: Sequence[str], frames: int) -> Clips:
    """The frames that follow each clip; clip i is continued with seed i."""
    parts = []
    for start in range(0, len(prompts), BATCH):
        some = slice(start, start + BATCH)
        count = len(prompts[some])
        request = pipe.request(prompts[some], None, 1, list(range(start, start + count)), {})
        codes_BTNK = torch.cat([each.codes_BTNK for each in contexts[some]])
        outputs = generate(pipe.model, request, Context(codes_BTNK, contexts[0].spec), frames)
        parts.append(torch.cat([each.frames for each in outputs], 1).cpu().numpy())
    return np.concatenate(parts)


@torch.no_grad()
def reconstruct(pipe: VideoPipeline, clips: Clips) -> Clips:
    network, spec = pipe.model.tokenizer.network, pipe.model.spec
    parts = [to_frames(network.decode(encode_clip(network, to_clip(clip[None])), spec)[0]) for clip in clips]
    return torch.cat(parts)[:, PREFIX_FRAMES : clips.shape[1]].cpu().numpy()


def count_kept(scenes: Sequence[Scene], clips: Clips) -> dict[str, int]:
    """The number of clips in which each group of attributes is unchanged."""
    rows = [judge(scene.words(), seen.scene) for scene, seen in zip(scenes, look(clips), strict=True)]
    return {
        name: sum(all(wanted == shown for attribute, wanted, shown in row if attribute in attributes) for row in rows)
        for name, attributes in GROUPS.items()
    }


def measure(
    pipe: VideoPipeline, clips_wanted: int, latent_frames: int, sheet: Path | None, first: int = 0
) -> dict[str, Any]:
    scenes = tuple(sample_scenes(clips_wanted, SEED, first))
    rows, columns = pipe.size(None, None)
    after = latent_frames * pipe.model.spec.frames_per_latent
    clips = true_clips(scenes, PREFIX_FRAMES + after, rows, columns, pipe.fps).numpy()
    known = [condition_on_clip(pipe.model, clip[:PREFIX_FRAMES]) for clip in clips]
    contexts = [each.context for each in known]
    vocabulary = pipe.model.prompt_vocabulary
    held_out = vocabulary.held_out_words if vocabulary is not None else ()
    true = [caption(scene, SEED + number, held_out) for number, scene in enumerate(scenes)]
    began, spent = time.perf_counter(), time.process_time()
    found = [continuation_prompt(pipe.model, each).prompt for each in known]
    seconds = time.perf_counter() - began, time.process_time() - spent
    prompt_sets = {"none": [""] * len(true), "true caption": true, "found caption": found}
    videos = {name: continue_clips(pipe, contexts, prompts, after) for name, prompts in prompt_sets.items()}
    if sheet is not None:
        whole = [
            np.concatenate([clip[:PREFIX_FRAMES], video])
            for clip, video in zip(clips, videos["found caption"], strict=True)
        ]
        contact_sheet(whole[:8], found[:8], 11).save(sheet)
    videos["the tokenizer alone"] = reconstruct(pipe, clips)
    return {
        "clips": len(scenes),
        "kept": {name: count_kept(scenes, video) for name, video in videos.items()},
        "captions": [{"true": one, "found": other} for one, other in zip(true, found, strict=True)],
        "seconds_a_caption": {"by the clock": seconds[0] / len(true), "of processors": seconds[1] / len(true)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="default: the bundled model")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--first", type=int, default=0, help="number of the first clip")
    parser.add_argument("--latent-frames", type=int, default=4, help="to generate after each clip")
    parser.add_argument("--sheet", type=Path, help="write an image of the first eight, with the found captions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipe = VideoPipeline.from_pretrained(arguments.model)
    found = measure(pipe, arguments.clips, arguments.latent_frames, arguments.sheet, arguments.first)
    if arguments.json:
        print(json.dumps({"hardware": describe(), **found}, indent=2))
        return
    print(f"{found['clips']} clips, {arguments.latent_frames} latent frames after each, {describe()}")
    print(f"{'':21}{'  '.join(GROUPS)}")
    for name, row in found["kept"].items():
        print(f"{name:21}{'  '.join(f'{row[each]:{len(each)}}' for each in GROUPS)}")
    clock, processors = found["seconds_a_caption"].values()
    print(f"a caption is found in {clock:.1f} s, {processors:.1f} s of processors")


if __name__ == "__main__":
    main()
