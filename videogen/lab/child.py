"""The process of one training: `python -m videogen.lab.child calibrate|train FOLDER`, with job.json in the folder.

A process of its own has a peak memory of its own, and a variant that fails takes no other with it. It stops, after
saving, when the runner is gone.
"""

import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.errors import UsageError, VideogenError
from videogen.lab.job import BUDGET, FIGURES, PICTURES, RUN, TRAINING, LabJob, read_json, training_config, write_json
from videogen.lab.process import while_runner_lives
from videogen.lab.sheets import CLIP, original_of, picture_of, save_strip
from videogen.system.signals import Interrupted
from videogen.system.threads import SPINS_IN_TRAINING, bound_spinning, use_threads

if TYPE_CHECKING:
    from videogen.lab.measures.context import MeasureContext, TrainingRecord

NICENESS = 5  # a lab runs for hours beside other work


def main(arguments: list[str]) -> int:
    action, folder = arguments
    with suppress(OSError):
        os.nice(NICENESS)
    bound_spinning(SPINS_IN_TRAINING)
    job = LabJob.read(Path(folder))
    use_threads(job.threads)
    try:
        ACTIONS[action](job, Path(folder))
    except VideogenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Interrupted as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def calibrate(job: LabJob, folder: Path) -> None:
    from videogen.lab.budget import calibrate as time_both
    from videogen.lab.budget import tokenizer_run

    assert job.base is not None
    base, own = (tokenizer_run(training_config(config), job.calibration) for config in (job.base, job.config))
    found = time_both(base, own, folder)
    write_json(folder / BUDGET, asdict(found))


def train(job: LabJob, folder: Path) -> None:
    """Train, then measure; what an earlier process has finished is not repeated."""
    if read_json(folder / TRAINING) is None:
        write_json(folder / TRAINING, asdict(run_training(job, folder)))
    done = read_json(folder / FIGURES) or {}
    missing = [name for name in job.measures if name not in done]
    pictures = [picture_of(folder / PICTURES, CLIP.format(number)) for number in job.pictures]
    if not missing and all(place.is_file() for place in pictures):
        return
    from videogen.lab.measures import measure

    context = measure_context(job, folder)
    for name in missing:
        done[name] = {figure: finite(value) for figure, value in measure(name, context).items()}
    save_pictures(job, context)
    write_json(folder / FIGURES, done)


def run_training(job: LabJob, folder: Path) -> "TrainingRecord":
    from videogen.generation.stats import peak_process_mib
    from videogen.lab.budget import StepClock
    from videogen.lab.measures.context import TrainingRecord
    from videogen.training.tokenizer.run import run_tokenizer

    clock, config = StepClock(), training_config(job.config)
    result = run_tokenizer(config, folder / RUN, True, on_progress=while_runner_lives(clock))
    return TrainingRecord(result.steps, clock.median_ms(), peak_process_mib())


def measure_context(job: LabJob, folder: Path) -> "MeasureContext":
    import torch

    from videogen.lab.measures.context import MeasureContext, TrainingRecord
    from videogen.models import load_tokenizer
    from videogen.training.tokenizer.clips import ClipBatches

    held_out = ClipBatches(training_config(job.config)).validation
    samples = [held_out.sample(0, number) for number in range(len(held_out))]
    return MeasureContext(
        model=load_tokenizer(folder / RUN),
        clips=torch.stack([torch.from_numpy(sample.clip) for sample in samples]),
        captions=tuple(sample.caption for sample in samples),
        training=TrainingRecord(**read_json(folder / TRAINING)),
        run=folder / RUN,
        pictures=folder / PICTURES,
        prior=job.prior,
    )


def save_pictures(job: LabJob, context: "MeasureContext") -> None:
    context.pictures.mkdir(exist_ok=True)
    for number in job.pictures:
        if number >= len(context.clips):
            raise UsageError(f"pictures.clips holds {number}; there are {len(context.clips)} held-out clips, from 0 on")
        name = CLIP.format(number)
        save_strip(context.reconstructions[number].numpy(), picture_of(context.pictures, name))
        save_strip(context.clips[number].numpy(), original_of(context.pictures, name))


def finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


ACTIONS: dict[str, Callable[[LabJob, Path], None]] = {"calibrate": calibrate, "train": train}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
