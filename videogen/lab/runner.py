"""Run a recipe: the clips once, then a process for each training.

What is finished is not repeated; an unfinished training goes on from its checkpoint.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from videogen.errors import NumbersError
from videogen.lab.budget import Calibration, steps_for
from videogen.lab.clips import OnProgress, prepare_clips
from videogen.lab.folder import LAB_FILE, Lab, check_folder
from videogen.lab.job import BUDGET, FIGURES, RUN, TRAINING, LabJob, PriorJob, read_json, write_json
from videogen.lab.measures import left_out
from videogen.lab.process import run_child
from videogen.lab.variants import Variant
from videogen.system.hardware import describe

FAILED = "failed"
OnNote = Callable[[str], None]


def run_lab(lab: Lab, resume: bool, on_clips: OnProgress, on_progress: OnProgress, on_note: OnNote) -> None:
    """Train and measure whatever is not finished, one training after the other."""
    prepare_lab(lab, resume, on_clips, on_note)
    todo = [(variant, seed) for variant in lab.variants for seed in lab.recipe.seeds]
    for done, (variant, seed) in enumerate(todo):
        on_progress(done, len(todo))
        figures = train_variant(lab, variant, seed)
        on_note(f"{done + 1} of {len(todo)}  {variant.name}, seed {seed}: {summary(figures)}")
    on_progress(len(todo), len(todo))


def prepare_lab(lab: Lab, resume: bool, on_clips: OnProgress, on_note: OnNote) -> None:
    """The folder and its clips."""
    check_folder(lab, resume)
    lab.out.mkdir(parents=True, exist_ok=True)
    begin(lab)
    for line in left_out(lab.recipe.measures):
        on_note(line)
    prepare_clips(lab.recipe.data, lab.out, on_clips)


def begin(lab: Lab) -> None:
    """Write down what all variants share, and the machine."""
    known = read_json(lab.out / LAB_FILE) or {}
    machine = f"{describe()}, torch {version('torch')}"
    machines = dict.fromkeys([*known.get("hardware", []), machine])
    write_json(lab.out / LAB_FILE, {**known, **lab.shared(), "hardware": list(machines)})


def train_variant(lab: Lab, variant: Variant, seed: int) -> dict[str, Any]:
    """The figures by measure, or the reason why there are none."""
    folder = lab.seed_folder(variant, seed)
    if prepare_training(lab, variant, seed):
        try:
            run_child("train", folder, lab.recipe.threads, variant.name)
        except NumbersError as error:  # a variant that diverges is a result
            write_json(folder / FIGURES, {FAILED: str(error)})
    return read_json(folder / FIGURES)  # type: ignore[no-any-return]


def prepare_training(lab: Lab, variant: Variant, seed: int) -> bool:
    """Write what the process of the training is to do; False if it has failed already, or cannot be trained."""
    folder = lab.seed_folder(variant, seed)
    if FAILED in (read_json(folder / FIGURES) or {}):
        return False
    recipe, config = lab.recipe, lab.config(variant, seed, steps_of(lab, variant))
    if (failed := share_tokenizer(lab, variant, seed)) is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FIGURES, {FAILED: failed})
        return False
    prior = prior_job(lab, variant, config) if lab.has_prior(variant) else None
    LabJob(config, recipe.measures, recipe.pictures.clips, recipe.threads, prior=prior).write(folder)
    return True


def share_tokenizer(lab: Lab, variant: Variant, seed: int) -> str | None:
    """Copy the tokenizer of the variant that trains it; the reason why there is none if that training failed."""
    if variant.tokenizer_of is None:
        return None
    source, folder = lab.seed_folder(lab.named(variant.tokenizer_of), seed), lab.seed_folder(variant, seed)
    if (failed := (read_json(source / FIGURES) or {}).get(FAILED)) is not None:
        return str(failed)
    if not (folder / TRAINING).is_file():
        shutil.rmtree(folder / RUN, ignore_errors=True)
        shutil.copytree(source / RUN, folder / RUN)
        shutil.copyfile(source / TRAINING, folder / TRAINING)
    return None


def prior_job(lab: Lab, variant: Variant, config: dict[str, Any]) -> PriorJob:
    """`config` is that of the variant's tokenizer."""
    settings = lab.prior_of(variant)
    seed, data = config["training"]["seed"], config["data"]
    own = settings["config"]
    return PriorJob(
        **{**settings, "config": {**own, "training": {**own["training"], "seed": seed}}},
        train=data["train"],
        held_out=data["validation"],
        checkpoints=lab.recipe.validations,
        base=lab.config(lab.base, seed, settings["calibration"]),
        base_ms=(read_json(lab.out / LAB_FILE) or {}).get("base_ms"),
    )


def steps_of(lab: Lab, variant: Variant) -> int:
    """The number of steps, measured once a variant where the budget is CPU time."""
    budget = lab.recipe.budget
    if budget.cpu_seconds is None:
        assert budget.steps is not None
        return budget.steps
    if variant.tokenizer_of is not None:
        return steps_of(lab, lab.named(variant.tokenizer_of))
    if not has_budget(lab, variant):
        run_child("calibrate", begin_calibration(lab, variant), lab.recipe.threads, variant.name)
        end_calibration(lab, variant)
    return int(read_json(lab.folder(variant) / BUDGET)["steps"])


def has_budget(lab: Lab, variant: Variant) -> bool:
    """Whether its number of steps is known."""
    return lab.recipe.budget.steps is not None or "steps" in (read_json(lab.folder(variant) / BUDGET) or {})


def begin_calibration(lab: Lab, variant: Variant) -> Path:
    """The folder of the process that times the base and the variant."""
    recipe, folder = lab.recipe, lab.folder(variant)
    seed, steps = recipe.seeds[0], recipe.budget.calibration
    own_config, base_config = lab.config(variant, seed, steps), lab.config(lab.base, seed, steps)
    LabJob(own_config, threads=recipe.threads, base=base_config, calibration=steps).write(folder)
    return folder


def end_calibration(lab: Lab, variant: Variant) -> None:
    """From the times to a number of steps; the first ones of a lab say how fast the base is."""
    recipe, folder = lab.recipe, lab.folder(variant)
    found = Calibration(**read_json(folder / BUDGET))
    shared = read_json(lab.out / LAB_FILE)
    if "base_ms" not in shared:
        shared["base_ms"] = found.base_ms
        write_json(lab.out / LAB_FILE, shared)
    own = found.ms_per_step(shared["base_ms"])
    assert recipe.budget.cpu_seconds is not None
    steps = steps_for(recipe.budget.cpu_seconds, own)
    write_json(folder / BUDGET, {**asdict(found), "ms_per_step": own, "steps": steps})


def summary(figures: dict[str, Any]) -> str:
    """A finished training in a few words."""
    if FAILED in figures:
        return str(figures[FAILED])
    flat = {name: value for measured in figures.values() for name, value in measured.items()}
    shown = {name: flat[name] for name in ("steps", "psnr", "codebook_use", "prior_attributes") if name in flat}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items()) or "measured"
