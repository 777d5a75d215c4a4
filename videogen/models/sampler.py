"""How a model is sampled unless a caller says otherwise, and which orders its prior can follow."""

from typing import TYPE_CHECKING

from sampling.config import Order, SamplerConfig, incompatibility, orders_of
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
    return SamplerConfig(order=orders(model.config)[0])


def orders(config: "AnyPriorConfig") -> tuple[Order, ...]:
    """The orders that this prior can follow."""
    return orders_of(config.objective, config.head.likelihood)


def check_order(order: Order, config: "AnyPriorConfig") -> None:
    """UsageError for an order that this prior cannot follow."""
    if (reason := incompatibility(order, config.objective, config.head.likelihood)) is not None:
        raise UsageError(reason)
