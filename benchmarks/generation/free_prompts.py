"""Free prompts, read literally and translated into the model's own vocabulary.

    python -m benchmarks.generation.free_prompts [--seeds N]

The oracle compares the clips to what a person means by each prompt, written by hand. Attributes that a prompt does not
mention are not judged.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from videogen.cli.terminal import Terminal
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.oracle_scores import detect_scenes, wilson_interval
from videogen.generate import GenerationRequest, generate
from videogen.io.contact_sheet import contact_sheet
from videogen.pipeline import VideoPipeline
from videogen.playroom.scene import Scene, Thing
from videogen.system.hardware import describe

FRAMES = 17
Attributes = dict[str, str]
PROMPTS: tuple[tuple[str, Attributes, tuple[Attributes, ...]], ...] = (  # a prompt, its background, its objects
    ("a red disc", {}, ({"colour": "red", "shape": "circle"},)),
    ("a blue ball rolling to the right", {}, ({"colour": "blue", "shape": "circle", "motion": "right"},)),
    ("crimson disk on navy", {"colour": "dark blue"}, ({"colour": "red", "shape": "circle"},)),
    ("a big red star spinning", {}, ({"colour": "red", "shape": "star", "size": "large", "motion": "spins"},)),
    (
        "a big yellow star spins over a green background",
        {"colour": "dark green"},
        ({"colour": "yellow", "shape": "star", "size": "large", "motion": "spins"},),
    ),
    ("a gray background with a white triangle", {"colour": "grey"}, ({"colour": "white", "shape": "triangle"},)),
    ("purple ring bouncing around", {}, ({"colour": "pink", "shape": "ring", "motion": "bounces"},)),
    ("a tiny golden coin", {}, ({"colour": "yellow", "shape": "circle", "size": "small"},)),
    (
        "an enormous turquoise cube falling slowly against black",
        {"colour": "black"},
        ({"colour": "cyan", "shape": "square", "size": "large", "motion": "down", "speed": "slowly"},),
    ),
    (
        "red circle moving left on a gray background",
        {"colour": "grey"},
        ({"colour": "red", "shape": "circle", "motion": "left"},),
    ),
    ("green triangle growing", {}, ({"colour": "green", "shape": "triangle", "motion": "grows"},)),
    (
        "a small orange donut orbiting quickly",
        {},
        ({"colour": "orange", "shape": "ring", "size": "small", "motion": "circles", "speed": "quickly"},),
    ),
    (
        "A Red Ball Bouncing On A Blue Floor",
        {"colour": "dark blue"},
        ({"colour": "red", "shape": "circle", "motion": "bounces"},),
    ),
    (
        "a white square standing still in front of a brown wall",
        {"colour": "brown"},
        ({"colour": "white", "shape": "square", "motion": "still"},),
    ),
    (
        "a magenta pyramid rising quickly",
        {},
        ({"colour": "pink", "shape": "triangle", "motion": "up", "speed": "quickly"},),
    ),
    (
        "the small blue star is shrinking, dark red background",
        {"colour": "maroon"},
        ({"colour": "blue", "shape": "star", "size": "small", "motion": "shrinks"},),
    ),
    (
        "a red ball and a blue cube",
        {},
        ({"colour": "red", "shape": "circle"}, {"colour": "blue", "shape": "square"}),
    ),
    (
        "a yellow ring moves up while a green box moves down on black",
        {"colour": "black"},
        (
            {"colour": "yellow", "shape": "ring", "motion": "up"},
            {"colour": "green", "shape": "square", "motion": "down"},
        ),
    ),
    ("a lime triangle on a chessboard", {"pattern": "checkered"}, ({"colour": "green", "shape": "triangle"},)),
    (
        "big scarlet square flying right over a gray gradient",
        {"colour": "grey", "pattern": "gradient"},
        ({"colour": "red", "shape": "square", "size": "large", "motion": "right"},),
    ),
    ("a spinning violet star", {}, ({"colour": "pink", "shape": "star", "motion": "spins"},)),
    (
        "an emerald circle going in circles over a chocolate background",
        {"colour": "brown"},
        ({"colour": "green", "shape": "circle", "motion": "circles"},),
    ),
    (
        "a giant pink sphere slowly climbing, grass green ground",
        {"colour": "dark green"},
        ({"colour": "pink", "shape": "circle", "size": "large", "motion": "up", "speed": "slowly"},),
    ),
    (
        "a shiny silver ring sinking in dark blue water",
        {"colour": "dark blue"},
        ({"colour": "white", "shape": "ring", "motion": "down"},),
    ),
)


def score_attributes(ground: Attributes, things: tuple[Attributes, ...], seen: Scene) -> dict[str, list[bool]]:
    """Each requested attribute and whether it is there; objects are matched by color."""
    rows: dict[str, list[bool]] = {"objects": [len(seen.things) == len(things)]}
    for name, value in ground.items():
        rows.setdefault(f"ground {name}", []).append(getattr(seen.backdrop, name) == value)
    there = {thing.colour: thing for thing in seen.things}
    for thing in things:
        found: Thing | None = there.get(thing["colour"])
        for name, value in thing.items():
            rows.setdefault(name, []).append(found is not None and getattr(found, name) == value)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path, help="write an image of the first clip of each prompt, read in both ways")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    read = VideoPipeline.from_pretrained()
    raw = VideoPipeline(replace(read.model, prompt_vocabulary=None), read.sampler)
    found: dict[str, Any] = {}
    shown: list[Any] = []
    with Terminal(arguments.json, False).progress("prompts", "clips") as on_progress:
        for part, (name, pipe) in enumerate((("literally", raw), ("translated", read))):
            seen: dict[str, list[bool]] = {}
            right = []
            for number, (prompt, ground, things) in enumerate(PROMPTS):
                seeds = [100 * number + seed for seed in range(arguments.seeds)]
                request = pipe.request(prompt, None, len(seeds), seeds, {})
                clips = generate_clips(pipe, request)
                shown += [(prompt if pipe is raw else read.model.prompt_vocabulary.read(prompt).text, clips[0])]  # type: ignore[union-attr]
                for scene in detect_scenes(clips, pipe.fps):
                    rows = score_attributes(ground, things, scene)
                    right.append(all(one for some in rows.values() for one in some))
                    for attribute, some in rows.items():
                        seen.setdefault(attribute, []).extend(some)
                on_progress(part * len(PROMPTS) + number + 1, 2 * len(PROMPTS))
            every = [one for some in seen.values() for one in some]
            found[name] = {
                "clips": len(right),
                "all_right": float(np.mean(right)),
                "all_right_95": wilson_interval(sum(right), len(right)),
                "attributes": float(np.mean(every)),
                "by_attribute": {attribute: float(np.mean(some)) for attribute, some in seen.items()},
            }
    if arguments.sheet is not None:
        pairs = [pair for number in range(len(PROMPTS)) for pair in (shown[number], shown[len(PROMPTS) + number])]
        contact_sheet([clip for _, clip in pairs], [text for text, _ in pairs]).save(arguments.sheet)
    if arguments.json:
        print(json.dumps({"hardware": describe(), "readings": found}, indent=2))
        return
    print(f"{len(PROMPTS)} prompts in free words, {arguments.seeds} clips of each, {describe()}")
    for name, figures in found.items():
        shares = ", ".join(f"{attribute} {rate:.0%}" for attribute, rate in figures["by_attribute"].items())
        low, high = figures["all_right_95"]
        print(f"{name}: all right {figures['all_right']:.0%} ({low:.0%} to {high:.0%}), "
              f"attributes {figures['attributes']:.0%}: {shares}")  # fmt: skip


def generate_clips(pipe: VideoPipeline, request: GenerationRequest) -> Clips:
    outputs = generate(pipe.model, request, num_frames=FRAMES)
    return np.concatenate([each.frames.cpu().numpy() for each in outputs], 1)[:, :FRAMES]


if __name__ == "__main__":
    main()
