"""The folder of a lab, which belongs to one recipe.

lab.json  data/  variants/NAME/{budget.json, seed_0/{job.json, run/, training.json, figures.json, pictures/}}
results.json  page.md  page/
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videogen.config.schemas import resolve
from videogen.errors import UsageError
from videogen.lab.clips import clip_settings
from videogen.lab.job import JOB, LabJob, PriorJob, read_json
from videogen.lab.priors import check_prior, prior_settings
from videogen.lab.recipe import LabPlayroom, LabRecipe
from videogen.lab.variants import LOG_LINES, Variant, check_shown, common_base, expand

LAB_FILE = "lab.json"
PLACES = ("train", "validation")  # of the clips: a lab's folder may move


@dataclass(frozen=True)
class Lab:
    """A recipe and the folder that its results are in."""

    place: Path  # of the recipe
    recipe: LabRecipe
    base: Variant
    variants: tuple[Variant, ...]
    out: Path
    prior: dict[str, Any] | None = None  # the section of the recipe, with the whole configuration, as JSON data

    @staticmethod
    def open(place: Path, out: Path) -> "Lab":
        """ConfigError for anything wrong in the recipe, its base or its variants."""
        resolved = resolve(place, expected="lab")[1]
        recipe: LabRecipe = resolved.value
        base = common_base(recipe, place)
        prior = None if recipe.prior is None else prior_settings(recipe.prior, place)
        lab = Lab(place, recipe, base, expand(recipe, base.tree, place), out, prior)
        check_shown(recipe, lab.variants, place, resolved.origins)
        for variant in lab.variants:
            lab.config(variant, recipe.seeds[0], recipe.budget.steps or 1)
        if lab.prior is not None:
            assert isinstance(recipe.data, LabPlayroom)
            for variant in filter(lab.has_prior, lab.variants):
                tokenizer = variant.config(clip_settings(recipe.data, out))
                check_prior(lab.prior_of(variant), recipe.data.train.frames, tokenizer)
        return lab

    def has_prior(self, variant: Variant) -> bool:
        """Whether a prior is trained on its tokens, as far as the recipe says."""
        prior = self.recipe.prior
        return prior is not None and (not prior.only or variant.name in prior.only or variant.group in prior.only)

    def prior_of(self, variant: Variant) -> dict[str, Any]:
        """The section of the recipe with the configuration of this variant's prior, as JSON data."""
        assert self.recipe.prior is not None
        return prior_settings(self.recipe.prior, self.place, variant.prior)

    def named(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)

    def config(self, variant: Variant, seed: int, steps: int) -> dict[str, Any]:
        """The configuration of a training, as JSON data."""
        from videogen.training.records.run_folder import config_dict

        every = max(1, -(-steps // self.recipe.validations))
        return config_dict(
            variant.config(
                {
                    **clip_settings(self.recipe.data, self.out),
                    "training.seed": seed,
                    "training.steps": steps,
                    "training.log_every": max(1, steps // LOG_LINES),
                    "training.validate_every": every,
                    "training.checkpoint_every": every,
                    "training.sample_every": 0,
                    "training.keep": 1,
                }
            )
        )

    def folder(self, variant: Variant) -> Path:
        return self.out / "variants" / variant.name

    def seed_folder(self, variant: Variant, seed: int) -> Path:
        return self.folder(variant) / f"seed_{seed}"

    def shared(self) -> dict[str, Any]:
        """What may not change once the lab has begun, beside the configurations of its variants."""
        from videogen.training.records.run_folder import config_dict

        recipe = self.recipe
        prior = {} if self.prior is None else {"prior": self.prior}
        budget = config_dict(recipe.budget)
        return {"data": config_dict(recipe.data), "budget": budget, "threads": recipe.threads, **prior}


def check_folder(lab: Lab, resume: bool) -> None:
    """UsageError for a folder that is in use without `resume`, or was begun with another recipe."""
    before = read_json(lab.out / LAB_FILE)
    if before is None:
        if lab.out.is_dir() and any(lab.out.iterdir()):
            raise UsageError(f"{lab.out}: holds files that are not a lab's; choose another folder")
        return
    if not resume:
        raise UsageError(f"{lab.out}: already holds a lab; --resume continues it, or choose another folder")
    now = {key: value for key, value in lab.shared().items() if key in before}  # a measure may have been added
    refuse_changed_settings(lab, {key: before[key] for key in now}, now, "the lab")
    for variant in lab.variants:
        for seed in lab.recipe.seeds:
            folder = lab.seed_folder(variant, seed)
            if (folder / JOB).is_file():
                began = LabJob.read(folder).config
                now = lab.config(variant, seed, began["training"]["steps"])
                refuse_changed_settings(lab, without_places(began), without_places(now), f"variant '{variant.name}'")
                refuse_changed_prior(lab, variant, LabJob.read(folder).prior)


def refuse_changed_prior(lab: Lab, variant: Variant, began: PriorJob | None) -> None:
    if began is not None and lab.has_prior(variant):
        then, now = began.config, lab.prior_of(variant)["config"]
        now = {**now, "training": {**now["training"], "seed": then["training"]["seed"]}}
        refuse_changed_settings(lab, then, now, f"the prior of variant '{variant.name}'")


def refuse_changed_settings(lab: Lab, before: dict[str, Any], now: dict[str, Any], what: str) -> None:
    from videogen.training.records.run_folder import differences

    for key, then, today in differences(before, now):
        raise UsageError(
            f"{lab.place}: {what} began with {key} = {json.dumps(then)}, and the recipe now says "
            f"{json.dumps(today)}; undo the change, or choose another --out"
        )


def without_places(config: dict[str, Any]) -> dict[str, Any]:
    return {**config, "data": {key: value for key, value in config["data"].items() if key not in PLACES}}
