"""The trainings of a lab as tasks of workers: each starts the process of one training, as the lab itself does.

A variant that uses the tokenizer of another one waits for all that train their own. Where the budget is CPU time, the
first variant is timed alone, which says how fast a step of the base is; the others are timed side by side, each between
two runs of the base.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videogen.errors import LockedError, NumbersError
from videogen.executors.base import Executor, only_value, with_errors
from videogen.lab.clips import clip_settings
from videogen.lab.folder import LAB_FILE, Lab
from videogen.lab.job import FIGURES, read_json, write_json
from videogen.lab.process import run_child
from videogen.lab.runner import FAILED, begin_calibration, end_calibration, has_budget, prepare_training, summary
from videogen.lab.variants import Variant

OnNote = Callable[[str], None]
OnProgress = Callable[[int, int], None]
LOCK_SECONDS = 300.0  # that a training whose worker was lost may take to save and stop
Training = tuple[Variant, int]  # and its seed


@dataclass(frozen=True)
class ChildTask:
    """One process of the lab."""

    action: str
    folder: Path
    threads: int
    name: str  # of the variant


def run_parallel(lab: Lab, executor: Executor, on_progress: OnProgress, on_note: OnNote) -> None:
    """Train and measure whatever is not finished, as many trainings at once as there are workers."""
    places = [Path(str(place)) for place in clip_settings(lab.recipe.data, lab.out).values() if place is not None]
    executor.check(places, lab.out)
    calibrate_all(lab, executor)
    own = [variant for variant in lab.variants if variant.tokenizer_of is None]
    others = [variant for variant in lab.variants if variant.tokenizer_of is not None]
    done, total = 0, len(lab.variants) * len(lab.recipe.seeds)
    on_progress(done, total)
    for variants in (own, others):
        trainings = [(variant, seed) for variant in variants for seed in lab.recipe.seeds]
        for variant, seed in train_all(lab, executor, trainings):
            done += 1
            on_progress(done, total)
            figures = read_json(lab.seed_folder(variant, seed) / FIGURES)
            on_note(f"{done} of {total}  {variant.name}, seed {seed}: {summary(figures)}")


def calibrate_all(lab: Lab, executor: Executor) -> None:
    """Measure the budgets that are not known yet."""
    untimed = [variant for variant in lab.variants if variant.tokenizer_of is None and not has_budget(lab, variant)]
    alone = 0 if "base_ms" in read_json(lab.out / LAB_FILE) else 1
    for variants in (untimed[:alone], untimed[alone:]):
        tasks = [task_of(lab, "calibrate", begin_calibration(lab, variant), variant) for variant in variants]
        for number, outcome in outcomes_of(executor, tasks):
            if isinstance(outcome, Exception):
                raise outcome
            end_calibration(lab, variants[number])


def train_all(lab: Lab, executor: Executor, trainings: Sequence[Training]) -> Iterator[Training]:
    """Each when it has ended; one that diverges is a result."""
    unfinished = [training for training in trainings if prepare_training(lab, *training)]
    yield from (training for training in trainings if training not in unfinished)
    tasks = [task_of(lab, "train", lab.seed_folder(variant, seed), variant) for variant, seed in unfinished]
    for number, outcome in outcomes_of(executor, tasks):
        if isinstance(outcome, NumbersError):
            write_json(tasks[number].folder / FIGURES, {FAILED: str(outcome)})
        elif isinstance(outcome, Exception):
            raise outcome
        yield unfinished[number]


def task_of(lab: Lab, action: str, folder: Path, variant: Variant) -> ChildTask:
    return ChildTask(action, folder, lab.recipe.threads, variant.name)


def outcomes_of(executor: Executor, tasks: Sequence[ChildTask]) -> Iterator[tuple[int, Any]]:
    """(number of the task, None or its error) as they end."""
    for number, result in executor.run_each(functools.partial(with_errors, run_task), tasks):
        try:
            outcome = only_value(result, f"variant '{tasks[number].name}'")
        except Exception as error:
            outcome = error
        yield number, outcome


def run_task(task: ChildTask) -> None:
    """Wait for an earlier process on this folder, which saves and stops once its worker is gone."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            run_child(task.action, task.folder, task.threads, task.name)
            return
        except LockedError:
            if time.monotonic() > until:
                raise
        time.sleep(1.0)
