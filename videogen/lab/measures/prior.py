"""What a small prior comes to on the variant's tokens: videos of held-out captions, as the playroom's oracle sees them.

Figures that end in `_half` are of a training with half of the budget. A variant that a prior cannot be trained on has
none: one of continuous tokens without a flow, one that cannot stream, or one that the recipe leaves out.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from interfaces.tokens import TokenSpec
from videogen.evaluation.distances.extractor import Clips
from videogen.evaluation.generation.clip_sources import model_clips
from videogen.evaluation.generation.oracle_scores import OracleScores, detect_scenes
from videogen.evaluation.generation.prompts import Prompts, scene_of
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.lab.job import PriorJob, prior_config, read_json, write_json
from videogen.lab.measures import Figures
from videogen.lab.measures.context import AT_ONCE, MeasureContext
from videogen.lab.prior_training import PARTS, budget_of, encode_clips, train_part
from videogen.lab.results import validation_curves
from videogen.pipeline import VideoPipeline

FOLDER = "prior"  # beside the run of the tokenizer
SUFFIXES = {"half": "_half", "whole": ""}  # of the figures of a part
SHOWN = ("shape", "colour", "size", "motion")
STILL = ("shape", "colour", "size")  # what a single frame can show of a thing


def measure(context: MeasureContext) -> Figures:
    job, model = context.prior, context.model
    if job is None or not model.network.causal:
        return {}
    if model.spec.continuous == prior_config(job.config).prior.head.likelihood:
        return {}
    folder = context.run.parent / FOLDER
    encode_clips(job, model, folder)
    budget = budget_of(job, model, folder)
    figures: Figures = {}
    for part, share in PARTS.items():
        measured = measured_part(context, job, folder, part, max(1, round(share * budget["steps"])))
        figures |= {f"prior_{name}{SUFFIXES[part]}": value for name, value in measured.items()}
    if "ms_per_step" in budget:
        figures["prior_ms_per_step"] = budget["ms_per_step"]
    return figures


def measured_part(context: MeasureContext, job: PriorJob, folder: Path, part: str, steps: int) -> Figures:
    """Train and score, unless an earlier process has done so."""
    place = folder / f"{part}.json"
    known: Figures | None = read_json(place)
    if known is None:
        clock = train_part(job, context.model, folder, part, steps)
        bits = likelihood(validation_curves(folder / part), context.model.spec.tokens)
        known = {"steps": steps, "ms_per_step": clock.median_ms(), **bits, **scores(context, job, folder / part)}
        write_json(place, known)
    return known


def likelihood(curves: Mapping[str, Sequence[tuple[int, float]]], tokens: int) -> Figures:
    """Of a latent frame; none for a head without a likelihood."""
    if "nats" not in curves:
        return {}
    nats = curves["nats"][-1][1] * tokens
    return {"nats_per_latent": nats, "bits_per_latent": nats / math.log(2)}


def scores(context: MeasureContext, job: PriorJob, run: Path) -> Figures:
    """What the oracle recognizes in a video for each caption; `chance`: of the captions of other videos."""
    captions = context.captions[: job.clips]
    wanted = tuple(map(scene_of, captions))
    clips, steps = generated(context, job, run, Prompts("held out", captions, wanted))
    seen = detect_scenes(clips, context.model.clips.fps)
    own = OracleScores.of(wanted, seen).everything.figures()
    half = len(wanted) // 2
    others = OracleScores.of(wanted[half:] + wanted[:half], seen).everything.figures()
    return {
        "all_right": own["all_correct"],
        "attributes": own["attributes"],
        "attributes_chance": others["attributes"],
        "things": rate_of_things(own),
        "things_chance": rate_of_things(others),
        **{name: own["by_attribute"].get(name, 0.0) for name in SHOWN},
        "sampling_steps": steps,
    }


def rate_of_things(figures: dict[str, Any]) -> float:
    """The mean rate of what a single frame shows of things: grounds are learned at once, and say little."""
    return fmean(figures["by_attribute"].get(name, 0.0) for name in STILL)


def generated(context: MeasureContext, job: PriorJob, run: Path, prompts: Prompts) -> tuple[Clips, float]:
    """A video of each prompt, as long as those that the prior learned, and the mean steps of a latent frame."""
    pipe = VideoPipeline.from_pretrained(run)
    settings = sampling_settings(job, context.model.spec)
    latent_frames = max(phase.frames for phase in prior_config(job.config).phases)
    frames, total = context.model.spec.video_frames(latent_frames), len(prompts.captions)
    source = model_clips(pipe, prompts, SamplerVariant("lab", settings), frames, seed=0)
    made = [source(range(start, min(start + AT_ONCE, total))) for start in range(0, total, AT_ONCE)]
    return np.concatenate([each.clips for each in made]), sum(each.steps for each in made) / len(made)


def sampling_settings(job: PriorJob, spec: TokenSpec) -> dict[str, Any]:
    """Each group of tokens has its own steps, so that all groups together have those of the recipe."""
    return {"steps": max(1, job.sampling_steps // len(spec.groups))}
