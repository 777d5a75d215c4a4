"""`videogen evaluate generation`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.options import (
    DEVICE,
    MODEL,
    OVERWRITE_REPORT,
    THREADS,
    model_or_bundled,
    sampling_given,
    sampling_options,
)
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER, POSITIVE
from videogen.cli.terminal import Terminal, terminal_options
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    from videogen.evaluation.generation.evaluator import Evaluator
    from videogen.pipeline import VideoPipeline

REFERENCE_CLIPS = 512


@click.command("generation")
@MODEL
@click.option(
    "--prompts",
    required=True,
    help="playroom:N for N scenes, playroom:N:PHRASE,-PHRASE,... for scenes with one phrase and without the other, or "
    "a text file with one prompt per line.",
)
@click.option("--out", type=OUTPUT_FOLDER, required=True, help="A folder for figures.json, charts and contact sheets.")
@OVERWRITE_REPORT
@sampling_options
@click.option(
    "--compare",
    multiple=True,
    metavar="SETTING...",
    help="Settings to compare, such as steps=4 or order=threshold,threshold=0.9.",
)
@click.argument("more", metavar="[SETTING]...", nargs=-1)
@click.option("--seconds", type=POSITIVE, help="Length of a clip [default: as in training].")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Clips per batch.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Clip i has seed + i.")
@click.option(
    "--drift-frames",
    type=click.IntRange(0),
    default=160,
    show_default=True,
    help="Frames of each drift stream; 0: none.",
)
@click.option(
    "--drift-streams", type=click.IntRange(1), default=8, show_default=True, help="Streams to measure drift on."
)
@click.option("--reference", type=ANY_PATH, help="Indexed clips to compare with [default: playroom clips].")
@click.option("--video-features", type=ANY_PATH, help="VideoMAE folder, for the Frechet distance.")
@click.option("--clip-model", type=ANY_PATH, help="CLIP folder, to score frames against their prompt.")
@THREADS
@DEVICE
@terminal_options
def generation(
    terminal: Terminal,
    model: Path | None,
    prompts: str,
    out: Path,
    overwrite: bool,
    compare: tuple[str, ...],
    more: tuple[str, ...],
    seconds: float | None,
    batch: int,
    seed: int,
    drift_frames: int,
    drift_streams: int,
    reference: Path | None,
    video_features: Path | None,
    clip_model: Path | None,
    threads: int | None,
    device: str,
    **options: Any,
) -> None:
    """Evaluate generated videos: prompt following, distance from real clips, and drift over time.

    \b
    Examples:
      videogen evaluate generation --model runs/play --prompts playroom:64 --out report
      videogen evaluate generation --model runs/play --prompts playroom:64 --out report \\
          --compare steps=4 steps=8 order=threshold,threshold=0.9 guidance_scale=2
      videogen evaluate generation --model runs/play --prompts mine.txt --out report --drift-frames 400
      videogen evaluate generation --prompts "playroom:64:red star,hoop" --out report
    """
    from videogen.evaluation.report.folder import check_report_folder

    check_report_folder(out, overwrite)
    use_threads(threads)
    from videogen.evaluation.generation.drift import DriftPlan
    from videogen.evaluation.generation.prompts import read_prompts
    from videogen.evaluation.generation.report import EvaluationPlan, as_table, evaluate_generation
    from videogen.evaluation.generation.sampler_variants import read_variants
    from videogen.pipeline import VideoPipeline

    wanted = read_prompts(prompts)
    variants = read_variants((*compare, *more), sampling_given(options))
    pipe = VideoPipeline.from_pretrained(model_or_bundled(model), use_device(device))
    for variant in variants:
        pipe.sampler_with(dict(variant.overrides))  # an error before any work
    frames = pipe.frame_count(max(1, round(seconds * pipe.fps)) if seconds else None)
    drift = DriftPlan(drift_streams, drift_frames, frames, max(1, frames - 1)) if drift_frames >= frames else None
    evaluator = evaluator_for(pipe, wanted.about_playroom, frames, reference, video_features, clip_model, device)
    with terminal.progress("evaluating", "%") as on_progress:
        plan = EvaluationPlan(variants, frames, batch, seed, drift)
        metrics = evaluate_generation(pipe, wanted, plan, evaluator, out, on_progress)
    terminal.report(metrics, f"{as_table(metrics)}\n{out}")


def evaluator_for(
    pipe: "VideoPipeline",
    about_playroom: bool,
    frames: int,
    reference: Path | None,
    video_features: Path | None,
    clip_model: Path | None,
    device: str,
) -> "Evaluator":
    from videogen.evaluation.generation.evaluator import Evaluator, data_reference, playroom_reference
    from videogen.evaluation.generation.features import Extractor, RandomMotionBank
    from videogen.evaluation.generation.pretrained import ClipScore, VideoMAEFeatures
    from videogen.evaluation.generation.report import frame_size

    extractor: Extractor = RandomMotionBank() if video_features is None else VideoMAEFeatures(video_features, device)
    score = None if clip_model is None else ClipScore(clip_model, device)
    height, width = frame_size(pipe)
    if reference is not None:
        cloud = data_reference(extractor, reference, REFERENCE_CLIPS, frames, height, width, pipe.fps)
        return Evaluator(pipe.fps, extractor, frames, cloud, str(reference), score)
    if about_playroom:
        cloud = playroom_reference(extractor, REFERENCE_CLIPS, frames, height, width, pipe.fps)
        return Evaluator(pipe.fps, extractor, frames, cloud, "the playroom", score)
    return Evaluator(pipe.fps, extractor, frames, clip_score=score)
