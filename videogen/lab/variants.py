"""The variants of a recipe, each with its whole configuration.

A configuration is the base, then the recipe's `set`, then the variant's, then what the lab decides: data, seed, steps.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from videogen.config.bind import bind, changed
from videogen.config.schemas import read_tree, schema_class
from videogen.config.strict_yaml import ConfigError, Mapping, nearest, parse
from videogen.lab.recipe import NOTHING, LabRecipe, VariantConfig

if TYPE_CHECKING:
    from videogen.training.tokenizer.config import TokenizerTrainingConfig

LAB = "the lab"  # the origin of the settings that it decides
TOKENIZER = "tokenizer"  # the schema
LOG_LINES = 20  # during a training
DECIDED = ("data.train", "data.validation", "training.steps", "training.seed")  # of tokenizers and of priors


@dataclass(frozen=True)
class Variant:
    name: str
    label: str
    group: str | None
    note: str | None
    tree: Mapping  # the base with the changes of the recipe and of the variant
    prior: Mapping = NOTHING  # changes of the prior's base
    tokenizer_of: str | None = None  # the variant that trains its tokenizer, if another one does

    def config(self, settings: dict[str, object]) -> "TokenizerTrainingConfig":
        """The configuration with these settings of the lab on top; ConfigError with the line of a wrong change."""
        return bind(schema_class(TOKENIZER), changed(self.tree, as_changes(settings))).value  # type: ignore[no-any-return]


def common_base(recipe: LabRecipe, place: Path) -> Variant:
    """What all variants change: the base with the recipe's own changes; `place` is the recipe's file."""
    refuse_decided(recipe.set)
    tree = changed(read_tree(base_of(recipe.base, place), TOKENIZER)[1], recipe.set)
    return Variant("base", "base", None, None, tree)


def expand(recipe: LabRecipe, base: Mapping, place: Path) -> tuple[Variant, ...]:
    """The variants by themselves, then all combinations of the grid."""
    named = dict(recipe.variants)
    for combination in itertools.product(*(choices.items() for choices in recipe.grid.values())):
        if not combination:
            break
        name = "_".join(choice for choice, _ in combination)
        if name in named:
            raise ConfigError(f"{place}: two variants have the name '{name}'")
        named[name] = combined(dict(combination))
    variants = []
    for name, variant in named.items():
        refuse_decided(variant.set)
        refuse_decided(variant.prior)
        tree = changed(base, named[variant.tokenizer_of or name].set)
        words = variant.label or name, variant.group, variant.note
        variants.append(Variant(name, *words, tree, variant.prior, variant.tokenizer_of))
    return tuple(variants)


def check_shown(recipe: LabRecipe, variants: Sequence[Variant], place: Path, origins: dict[str, str]) -> None:
    """ConfigError for what the page could not tell apart or would not find; `origins` are the recipe's."""
    names: dict[str, str] = {}
    for variant in variants:
        if variant.label in names:
            where = origins.get(f"variants.{variant.name}.label", str(place))
            both = f"'{names[variant.label]}' and '{variant.name}'"
            raise ConfigError(f"{where}: the variants {both} have one label, '{variant.label}'; give each its own")
        names[variant.label] = variant.name
    known = dict.fromkeys([*names.values(), *(variant.group for variant in variants if variant.group)])
    places = [("charts", chart.only) for chart in recipe.charts] + [("pictures.only", recipe.pictures.only)]
    places += [] if recipe.prior is None else [("prior.only", recipe.prior.only)]
    for key, name in ((key, name) for key, only in places for name in only if name not in known):
        raise ConfigError(f"{origins[key]}: 'only' has '{name}', no variant or group{nearest(name, known)}")


def base_of(word: str, recipe: Path) -> str | Path:
    """A base beside the recipe is found from any folder."""
    beside = recipe.parent / word
    return beside if beside.is_file() else word


def combined(choices: dict[str, VariantConfig]) -> VariantConfig:
    """A variant with the changes of several choices, in their order; its group is the first choice."""
    settings, prior = Mapping({}, {}, LAB), Mapping({}, {}, LAB)
    for choice in choices.values():
        settings, prior = with_changes(settings, choice.set), with_changes(prior, choice.prior)
    labels = [choice.label or name for name, choice in choices.items()]
    given = [choice.group for choice in choices.values() if choice.group]
    notes = " ".join(choice.note for choice in choices.values() if choice.note)
    group = given[0] if given else labels[0]
    return VariantConfig(settings, prior, label=", ".join(labels), group=group, note=notes or None)


def with_changes(changes: Mapping, later: Mapping) -> Mapping:
    """All changes; a later change of a key, or of a part of it, is applied later."""
    items = {key: node for key, node in changes.items.items() if key not in later.items}
    origins = {key: where for key, where in changes.key_origins.items() if key in items}
    return Mapping({**items, **later.items}, {**origins, **later.key_origins}, LAB)


def refuse_decided(changes: Mapping) -> None:
    """ConfigError for a change of what must be the same for all variants."""
    for key in changes.items:
        if key in DECIDED or any(decided.startswith(f"{key}.") for decided in DECIDED):
            where = changes.key_origins[key]
            raise ConfigError(f"{where}: '{key}' holds what is the same for all variants ({', '.join(DECIDED)})")


def as_changes(settings: dict[str, object]) -> Mapping:
    nodes = {key: parse(json.dumps(value), LAB, line_numbers=False) for key, value in settings.items()}
    return Mapping(nodes, dict.fromkeys(nodes, LAB), LAB)
