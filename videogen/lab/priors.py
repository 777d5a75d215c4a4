"""The section `prior` of a recipe: the configuration of the priors, and whether they can be trained on all variants."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.config.bind import bind, changed
from videogen.config.schemas import read_tree, schema_class
from videogen.config.strict_yaml import Mapping
from videogen.errors import UsageError
from videogen.lab.job import prior_config
from videogen.lab.recipe import NOTHING, LabPrior
from videogen.lab.variants import as_changes, base_of, refuse_decided

if TYPE_CHECKING:
    from videogen.training.tokenizer.config import TokenizerTrainingConfig

PRIOR = "prior"  # the schema
DECIDED_LATER = {"data.train": "tokens", "data.validation": "held_out_tokens"}  # a variant's own
SETTINGS = ("steps", "cpu_seconds", "calibration", "clips", "sampling_steps")


def prior_settings(prior: LabPrior, place: Path, changes: Mapping = NOTHING) -> dict[str, Any]:
    """The section with its whole configuration, as JSON data; `place` is the recipe, `changes` are a variant's.

    ConfigError for a mistake.
    """
    from videogen.training.records.run_folder import config_dict

    refuse_decided(prior.set)
    tree = changed(changed(read_tree(base_of(prior.base, place), PRIOR)[1], prior.set), changes)
    decided = {**DECIDED_LATER, "training.validate_every": 0, "training.sample_every": 0, "training.keep": 1}
    config = bind(schema_class(PRIOR), changed(tree, as_changes(decided))).value
    return {**{name: getattr(prior, name) for name in SETTINGS}, "config": config_dict(config)}


def check_prior(settings: dict[str, Any], frames: int, tokenizer: "TokenizerTrainingConfig") -> None:
    """UsageError unless the prior fits clips of so many frames and the tokens of its variant."""
    from videogen.training.estimate.memory_estimate import fake_tensors
    from videogen.training.prior.dry_run import find_context, untrained_source
    from videogen.training.prior.stage import make_network

    config = prior_config(settings["config"])
    needed = max(phase.frames for phase in config.phases)
    context, _ = find_context(config.text)
    source = untrained_source(tokenizer, Path("a variant"))
    if (has := source.spec.whole_latent_frames(frames)) < needed:
        raise UsageError(f"the prior's phases have {needed} latent frames; clips of {frames} frames have {has}")
    if not source.spec.continuous or not config.prior.head.likelihood:  # else the measure leaves the variant out
        with fake_tensors():
            make_network(config, source, context)
