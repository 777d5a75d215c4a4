"""The trainings of a variant's prior, in its folder: prior/{tokens/, held_out_tokens/, budget.json, half/, whole/}.

Two trainings, each with a learning rate that reaches its end: what a prior can do after half of the time is not what
half of a longer training has come to, whose learning rate is still high.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.data import load_index
from videogen.lab.budget import StepClock, TimedRun, calibrate, steps_for, tokenizer_run
from videogen.lab.job import BUDGET, PriorJob, prior_config, read_json, training_config, write_json
from videogen.lab.process import while_runner_lives
from videogen.models import TokenizerModel
from videogen.tokens import encode
from videogen.training.prior.run import run_prior

if TYPE_CHECKING:
    from videogen.training.prior.config import PriorTrainingConfig

TOKENS, HELD_OUT_TOKENS = "tokens", "held_out_tokens"
PARTS = {"half": 0.5, "whole": 1.0}  # of the budget


def encode_clips(job: PriorJob, model: TokenizerModel, folder: Path) -> None:
    """The tokens of all clips, to train on and held out; what is encoded already stays."""
    for clips, name in ((job.train, TOKENS), (job.held_out, HELD_OUT_TOKENS)):
        encode(load_index(Path(clips)), folder / name, model, on_progress=while_runner_lives(lambda done, total: None))


def budget_of(job: PriorJob, model: TokenizerModel, folder: Path) -> dict[str, Any]:
    """`steps` of the whole budget, and `ms_per_step` where it is CPU time, which is measured once."""
    if job.cpu_seconds is None:
        return {"steps": job.steps}
    known: dict[str, Any] | None = read_json(folder / BUDGET)
    if known is None:
        assert job.base is not None
        assert job.base_ms is not None
        base, own = tokenizer_run(training_config(job.base), job.calibration), short_run(job, model, folder)
        found = calibrate(base, own, folder)
        milliseconds = found.ms_per_step(job.base_ms)
        steps = steps_for(job.cpu_seconds, milliseconds)
        known = {**asdict(found), "ms_per_step": milliseconds, "steps": steps}
        write_json(folder / BUDGET, known)
    return known


def short_run(job: PriorJob, model: TokenizerModel, folder: Path) -> TimedRun:
    """A few steps of the prior, with next to no validation."""
    config = config_of(job, folder, job.calibration)
    short = replace(config, data=replace(config.data, validation_clips=1))
    return lambda place, clock: run_prior(short, model.path, place, False, on_progress=clock)


def config_of(job: PriorJob, folder: Path, steps: int) -> "PriorTrainingConfig":
    config = prior_config(job.config)
    data = replace(config.data, train=folder / TOKENS, validation=folder / HELD_OUT_TOKENS)
    every = max(1, -(-steps // job.checkpoints))
    return replace(config, data=data, training=replace(config.training, steps=steps, checkpoint_every=every))


def train_part(job: PriorJob, model: TokenizerModel, folder: Path, part: str, steps: int) -> StepClock:
    """Train, or go on; the run folder is that of the part."""
    clock = StepClock()
    run_prior(config_of(job, folder, steps), model.path, folder / part, True, on_progress=while_runner_lives(clock))
    return clock
