"""How a model is sampled unless a caller says otherwise, and which orders its prior can follow."""

from typing import TYPE_CHECKING

from sampling.config import SamplerConfig, incompatibility, orders_of
from videogen.config.serialization import from_json
from videogen.errors import UsageError
from videogen.models.folder import GENERATION

if TYPE_CHECKING:
    from prior.kinds import AnyPriorConfig
    from videogen.models.records import PriorModel


def sampler_of(model: "PriorModel") -> SamplerConfig:
    """The settings in the model's `generation_config.json`, or the defaults for its prior's objective."""
    if model.generation is not None:
        settings: SamplerConfig = from_json(SamplerConfig, model.generation, f"{model.path}/{GENERATION}")
        return settings
    return SamplerConfig(order=orders_of(model.config.objective, model.config.head.likelihood)[0])


def check_sampler(sampler: SamplerConfig, prior: "AnyPriorConfig") -> None:
    """UsageError for settings that this prior cannot be sampled with."""
    tokens = prior.head.likelihood, len(prior.spec.groups)
    if (reason := incompatibility(sampler, prior.objective, *tokens)) is not None:
        raise UsageError(reason)
