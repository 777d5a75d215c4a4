"""How a model is sampled unless a caller says otherwise, and which orders its prior can follow."""

from typing import TYPE_CHECKING

from sampling.config import ORDERS, Order, SamplerConfig, incompatibility
from videogen.config.serialization import from_json
from videogen.errors import UsageError
from videogen.models.folder import GENERATION

if TYPE_CHECKING:
    from videogen.models.records import PriorModel


def sampler_of(model: "PriorModel") -> SamplerConfig:
    """The settings in the model's `generation_config.json`, or the defaults for its prior's objective."""
    if model.generation is not None:
        settings: SamplerConfig = from_json(SamplerConfig, model.generation, f"{model.path}/{GENERATION}")
        return settings
    return SamplerConfig(order=ORDERS[model.config.objective][0])


def check_order(order: Order, objective: str) -> None:
    """UsageError for an order that a prior of this objective cannot follow."""
    if (reason := incompatibility(order, objective)) is not None:
        raise UsageError(reason)
