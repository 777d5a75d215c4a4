"""`videogen evaluate generation`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.engine_options import engine_options, workers_option
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
from videogen.executors.chosen import EngineName, open_executor
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    from videogen.evaluation.generation.networks import Networks, ReferenceClips
    from videogen.pipeline import VideoPipeline


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
@click.option("--reference-clips", type=click.IntRange(2), default=512, show_default=True, help="How many of them.")
@click.option("--video-features", type=ANY_PATH, help="VideoMAE folder, for the Frechet distance.")
@click.option("--i3d", type=ANY_PATH, help="Folder of `videogen convert i3d`, for FVD.")
@click.option("--transnet", type=ANY_PATH, help="Folder of `videogen convert transnet`, for its Frechet distance.")
@click.option("--clip", "--clip-model", type=ANY_PATH, help="CLIP folder, to score frames against their prompt.")
@THREADS
@DEVICE
@workers_option("1")
@engine_options
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
    reference_clips: int,
    video_features: Path | None,
    i3d: Path | None,
    transnet: Path | None,
    clip: Path | None,
    threads: int | None,
    device: str,
    workers: int | None,
    engine: EngineName,
    address: str | None,
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
      videogen evaluate generation --prompts playroom:512 --out report --workers 4
    """
    from videogen.evaluation.report.folder import check_report_folder

    check_report_folder(out, overwrite)
    use_threads(threads)
    from videogen.evaluation.generation.drift import DriftPlan
    from videogen.evaluation.generation.networks import Networks, make_evaluator
    from videogen.evaluation.generation.plan import EvaluationPlan
    from videogen.evaluation.generation.prompts import read_prompts
    from videogen.evaluation.generation.report import as_table, evaluate_generation
    from videogen.evaluation.generation.sampler_variants import read_variants
    from videogen.evaluation.generation.workers import evaluation_by
    from videogen.pipeline import VideoPipeline

    wanted = read_prompts(prompts)
    variants = read_variants((*compare, *more), sampling_given(options))
    own_device = device if engine == "local" else "cpu"
    pipe = VideoPipeline.from_pretrained(model_or_bundled(model), use_device(own_device))
    for variant in variants:
        pipe.sampler_with(dict(variant.overrides))  # an error before any work
    frames = pipe.frame_count(max(1, round(seconds * pipe.fps)) if seconds else None)
    drift = DriftPlan(drift_streams, drift_frames, frames, max(1, frames - 1)) if drift_frames >= frames else None
    networks = Networks(video_features, i3d, transnet, clip, own_device)
    true = reference_for(pipe, wanted.about_playroom, frames, reference, reference_clips, networks)
    plan = EvaluationPlan(variants, frames, batch, seed, drift)
    with open_executor(engine, address, workers, threads, device) as executor:
        evaluator = make_evaluator(pipe.fps, frames, networks, true, executor, device)
        evaluate = evaluation_by(executor, pipe, wanted, plan, evaluator, replace(networks, device=device))
        with terminal.progress("evaluating", "%") as on_progress:
            metrics = evaluate_generation(pipe, wanted, plan, evaluator, out, on_progress, evaluate)
    terminal.report(metrics, f"{as_table(metrics)}\n{out}")


def reference_for(
    pipe: "VideoPipeline", about_playroom: bool, frames: int, data: Path | None, clips: int, networks: "Networks"
) -> "ReferenceClips | None":
    from videogen.clip_spec import ClipSpec
    from videogen.errors import UsageError
    from videogen.evaluation.generation.networks import ReferenceClips
    from videogen.evaluation.generation.plan import frame_size

    if data is None and not about_playroom:
        asked = [f"--{name}" for name in ("i3d", "transnet") if getattr(networks, name) is not None]
        if asked:
            raise UsageError(f"{asked[0]} compares with true clips; name some by --reference DATA")
        return None
    height, width = frame_size(pipe)
    return ReferenceClips(data, clips, ClipSpec(height, width, pipe.fps, frames))
