"""The command `videogen evaluate generation`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.kinds import ABOVE_0, OUT_FOLDER
from videogen.cli.models import DEVICE, GENERATOR, OVERWRITE, PLACE, generator_at, usable_device
from videogen.cli.options import sampling_given, sampling_options
from videogen.cli.terminal import Terminal, reports
from videogen.cli.train import THREADS
from videogen.threads import use_threads

if TYPE_CHECKING:
    from videogen.evaluation.generation.evaluator import Evaluator
    from videogen.pipeline import VideoPipeline

REFERENCE_CLIPS = 512


@click.command("generation")
@GENERATOR
@click.option(
    "--prompts",
    required=True,
    help="playroom:N for N scenes, playroom:N:PHRASE,-PHRASE,... for those that say the one and not the other, or a "
    "text file with a prompt a line.",
)
@click.option("--out", type=OUT_FOLDER, required=True, help="A folder for figures.json, charts and contact sheets.")
@OVERWRITE
@sampling_options
@click.option("--compare", multiple=True, metavar="SETTING...", help="Settings to compare, a row each.")
@click.argument("more", metavar="[SETTING]...", nargs=-1)
@click.option("--seconds", type=ABOVE_0, help="Length of a clip [default: as the prior was taught].")
@click.option("--batch", type=click.IntRange(1), default=16, show_default=True, help="Clips made at once.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Clip i is drawn from seed + i.")
@click.option("--drift-frames", type=click.IntRange(0), default=160, show_default=True, help="Of a stream; 0: none.")
@click.option("--drift-streams", type=click.IntRange(1), default=8, show_default=True, help="Of the first variant.")
@click.option("--reference", type=PLACE, help="Indexed clips to compare with [default: the playroom's own].")
@click.option("--video-features", type=PLACE, help="Folder of a VideoMAE for the Frechet distance.")
@click.option("--clip-model", type=PLACE, help="Folder of a CLIP, to score pictures by their prompt.")
@THREADS
@DEVICE
@reports
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
    """Judge what a model makes of prompts: is it as the prompt says, how far from true clips, and does it last?

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
    pipe = VideoPipeline.from_pretrained(generator_at(model), usable_device(device))
    for variant in variants:
        pipe.sampler_with(dict(variant.overrides))  # what is wrong with one is said before any work
    frames = pipe.frame_count(max(1, round(seconds * pipe.fps)) if seconds else None)
    drift = DriftPlan(drift_streams, drift_frames, frames, max(1, frames - 1)) if drift_frames >= frames else None
    evaluator = evaluator_for(pipe, wanted.about_playroom, frames, reference, video_features, clip_model, device)
    with terminal.progress("judging", "%") as on_progress:
        plan = EvaluationPlan(variants, frames, batch, seed, drift)
        figures = evaluate_generation(pipe, wanted, plan, evaluator, out, on_progress)
    terminal.report(figures, f"{as_table(figures)}\n{out}")


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
