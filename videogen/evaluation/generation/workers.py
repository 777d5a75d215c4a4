"""An evaluation cut into tasks for workers: a batch of prompts each, and the streams of a drift each."""

import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from videogen.errors import CheckpointError
from videogen.evaluation.distances.distance import Distance
from videogen.evaluation.generation.clip_sources import model_stream
from videogen.evaluation.generation.drift import DriftCurve
from videogen.evaluation.generation.evaluator import ClipSetResult, Evaluator, batches_of, measure_batch
from videogen.evaluation.generation.networks import Networks
from videogen.evaluation.generation.plan import EvaluationPlan, drift_curve, drift_names, source_of
from videogen.evaluation.generation.prompts import Prompts
from videogen.evaluation.generation.report import Evaluation
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.executors.base import Executor, in_order, only_value, with_errors
from videogen.pipeline import VideoPipeline

OnProgress = Callable[[int, int], None]


class WorkerModel(NamedTuple):
    """What a worker opens before its first task."""

    model: Path
    fingerprint: str
    device: str
    threads: int
    networks: Networks
    references: bytes  # statistics of the true clips by extractor, and their name
    frames: int
    warm_up: str  # a prompt: the first frames of a process take longer, which is no speed of the model


@dataclass(frozen=True)
class PromptBatch:
    row: int
    numbers: range


@dataclass(frozen=True)
class DriftTask:
    name: str


def evaluation_by(
    executor: Executor,
    pipe: VideoPipeline,
    prompts: Prompts,
    plan: EvaluationPlan,
    evaluator: Evaluator,
    networks: Networks,
) -> Evaluation | None:
    """What fills the rows of a report; None where this process may as well do it."""
    if executor.is_local and executor.workers == 1:
        return None
    # As bytes, because torch sends tensors through memory that it shares with a process, which may die.
    references = pickle.dumps([(distance.reference, distance.reference_name) for distance in evaluator.distances])
    where = (pipe.model.path, pipe.model.fingerprint, networks.device, executor.threads)
    model = WorkerModel(*where, networks, references, plan.frames, prompts.captions[0])
    return functools.partial(evaluate_with, executor, model, prompts, plan)


def evaluate_with(
    executor: Executor,
    model: WorkerModel,
    prompts: Prompts,
    plan: EvaluationPlan,
    rows: list[ClipSetResult],
    on_progress: OnProgress | None,
) -> dict[str, DriftCurve]:
    """Fill the rows; returns the curves of drift. The longest tasks, those of drift, begin first."""
    executor.check([model.model, *model.networks.folders])
    batches = batches_of(len(prompts.captions), plan.batch)
    names = drift_names(prompts, plan)
    tasks: list[PromptBatch | DriftTask] = [DriftTask(name) for name in reversed(names)]
    tasks += [PromptBatch(row, numbers) for row in range(len(rows)) for numbers in batches]
    work = functools.partial(with_errors, functools.partial(_evaluate, model, prompts, plan))
    curves: dict[str, DriftCurve] = {}
    for done, result in enumerate(in_order(executor.run_each(work, tasks)), 1):
        task = tasks[done - 1]
        value = only_value(result, f"an evaluation's task {done}")
        if isinstance(task, DriftTask):
            curves[task.name] = value
        else:
            rows[task.row].add(value)
        if on_progress is not None:
            on_progress(100 * done // len(tasks), 100)
    return {name: curves[name] for name in names}


def _evaluate(model: WorkerModel, prompts: Prompts, plan: EvaluationPlan, task: PromptBatch | DriftTask) -> Any:
    pipe, evaluator = _opened(model)
    if isinstance(task, DriftTask):
        return drift_curve(pipe, prompts, plan, evaluator, task.name)
    return measure_batch(source_of(pipe, prompts, plan, task.row), task.numbers, prompts, evaluator)


@functools.lru_cache(1)
def _opened(model: WorkerModel) -> tuple[VideoPipeline, Evaluator]:
    torch.set_num_threads(model.threads)
    pipe = VideoPipeline.from_pretrained(model.model, model.device)
    if pipe.model.fingerprint != model.fingerprint:
        raise CheckpointError(f"{model.model}: the model was replaced while it was evaluated")
    pairs = zip(model.networks.extractors(), pickle.loads(model.references), strict=True)
    distances = tuple(Distance(extractor, *reference) for extractor, reference in pairs)
    next(model_stream(pipe, (model.warm_up,), SamplerVariant("", {}), 0))
    return pipe, Evaluator(pipe.fps, model.frames, distances, model.networks.score())
