"""What an evaluation of generated videos consists of: a set of clips for each row, and long streams for the drift."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from videogen.evaluation.generation.clip_sources import (
    ClipSource,
    model_clips,
    model_stream,
    reconstructed_clips,
    rendered_clips,
    rendered_stream,
)
from videogen.evaluation.generation.drift import DriftCurve, DriftPlan, choose_streams, measure_drift
from videogen.evaluation.generation.evaluator import ClipSetResult, Evaluator
from videogen.evaluation.generation.prompts import Prompts
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.pipeline import VideoPipeline

OnProgress = Callable[[int, int], None]
TRUE, TOKENS = "true clips", "true clips as tokens"


@dataclass(frozen=True)
class EvaluationPlan:
    """What to evaluate for each sampler variant."""

    variants: tuple[SamplerVariant, ...]
    frames: int  # of a clip
    batch: int
    seed: int
    drift: DriftPlan | None = None


def empty_rows(pipe: VideoPipeline, prompts: Prompts, plan: EvaluationPlan) -> list[ClipSetResult]:
    """True clips and their reconstructions, if the scenes of the prompts are known: upper bounds; then each variant."""
    bounds = [] if prompts.drawn is None else [ClipSetResult(TRUE), ClipSetResult(TOKENS)]
    variants = [ClipSetResult(each.name, asdict(pipe.sampler_with(dict(each.overrides)))) for each in plan.variants]
    return [*bounds, *variants]


def source_of(pipe: VideoPipeline, prompts: Prompts, plan: EvaluationPlan, row: int) -> ClipSource:
    """Where the clips of a row come from; rows are counted as in `empty_rows`."""
    if prompts.drawn is None:
        return model_clips(pipe, prompts, plan.variants[row], plan.frames, plan.seed)
    if row > 1:
        return model_clips(pipe, prompts, plan.variants[row - 2], plan.frames, plan.seed)
    true = rendered_clips(prompts.drawn, plan.frames, *frame_size(pipe), pipe.fps)
    return true if row == 0 else reconstructed_clips(true, pipe.model.tokenizer)


def drift_names(prompts: Prompts, plan: EvaluationPlan) -> list[str]:
    """Of the first variant only, because long streams are slow, and of true clips, where objects also overlap."""
    if plan.drift is None:
        return []
    return [*([] if prompts.drawn is None else [TRUE]), plan.variants[0].name]


def drift_curve(
    pipe: VideoPipeline,
    prompts: Prompts,
    plan: EvaluationPlan,
    evaluator: Evaluator,
    name: str,
    on_progress: OnProgress | None = None,
) -> DriftCurve:
    """The curve of one of `drift_names`."""
    assert plan.drift is not None
    numbers = choose_streams(prompts.wanted, plan.drift.streams)
    captions = tuple(prompts.captions[number] for number in numbers)
    wanted = [prompts.wanted[number] for number in numbers]
    if name == TRUE and prompts.drawn is not None:
        scenes = tuple(prompts.drawn[number] for number in numbers)
        chunks = rendered_stream(scenes, *frame_size(pipe), pipe.fps)
    else:
        chunks = model_stream(pipe, captions, plan.variants[0], plan.seed)
    return measure_drift(chunks, wanted, evaluator, plan.drift, captions, on_progress)


def frame_size(pipe: VideoPipeline) -> tuple[int, int]:
    return pipe.model.clips.height, pipe.model.clips.width
