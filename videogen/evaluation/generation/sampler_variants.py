"""Sampler settings to compare, as written on the command line: `order=threshold,threshold=0.9`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sampling.config import SamplerConfig
from videogen.config.bind import bind
from videogen.config.strict_yaml import Mapping as Section
from videogen.errors import UsageError


@dataclass(frozen=True)
class SamplerVariant:
    """A name, and the settings that it overrides; all others are those of the model."""

    name: str
    overrides: Mapping[str, Any]


def read_variant(text: str) -> SamplerVariant:
    """`field=value,field=value`; UsageError for an unknown field or a value that is not allowed."""
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    if not pairs:
        raise UsageError(f"'{text}' is empty; write field=value, such as steps=4")
    sampler = bind(SamplerConfig, Section({}, {}, "--compare"), pairs).value
    return SamplerVariant(
        ",".join(pairs), {name: getattr(sampler, name) for name in (pair.partition("=")[0] for pair in pairs)}
    )


def read_variants(texts: Sequence[str], base: Mapping[str, Any]) -> tuple[SamplerVariant, ...]:
    """Each variant on top of the common overrides; without variants, the common overrides alone."""
    common = {name: value for name, value in base.items() if value is not None}
    if not texts:
        return (SamplerVariant(",".join(f"{name}={value}" for name, value in common.items()) or "default", common),)
    read = [read_variant(text) for text in texts]
    return tuple(SamplerVariant(variant.name, {**common, **variant.overrides}) for variant in read)
