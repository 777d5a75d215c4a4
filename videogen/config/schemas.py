"""The dataclass of a configuration file: its first line says `schema: NAME`, one of SCHEMAS.

This module imports none of them until they are used, because some are in modules that need torch.
"""

import dataclasses
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from videogen.checkpoint import as_json
from videogen.config.bind import Resolved, bind
from videogen.config.presets import find_config, shown_name
from videogen.config.run_config import RUN_CONFIG, read_run_config
from videogen.config.strict_yaml import ConfigError, Mapping, Scalar, nearest, parse, read
from videogen.errors import CheckpointError, UsageError

SCHEMAS = {
    "prompt_vocabulary": "videogen.conditioning.prompt_vocabulary:PromptVocabulary",
    "playroom": "videogen.playroom.write:PlayroomConfig",
    "tokenizer": "videogen.training.tokenizer.config:TokenizerTrainingConfig",
    "prior": "videogen.training.prior.config:PriorTrainingConfig",
    "lab": "videogen.lab.recipe:LabRecipe",
}
PRIOR_ALONE = "teaching"  # a section of priors only


def resolve(word: str | Path, overrides: Iterable[str] = (), expected: str | None = None) -> tuple[str, Resolved[Any]]:
    """Name of the schema and configuration of a file or preset; UsageError if another schema is `expected`."""
    name, tree = read_tree(word, expected)
    return name, bind(schema_class(name), tree, overrides)


def read_tree(word: str | Path, expected: str | None = None) -> tuple[str, Mapping]:
    """Name of the schema of a file or preset, and its settings as text."""
    path = find_config(word, SCHEMAS if expected is None else [expected])
    tree = read(path, shown_name(path))
    name = tree.items.get("schema")
    if not isinstance(name, Scalar):
        raise ConfigError(
            f"{tree.origin}: 'schema' is missing; the file must say what it configures: {', '.join(SCHEMAS)}"
        )
    if name.text not in SCHEMAS:
        raise ConfigError(f"{name.origin}: unknown schema '{name.text}'{nearest(name.text, SCHEMAS)}")
    if expected not in (None, name.text):
        raise ConfigError(f"{name.origin}: this file configures '{name.text}'; one for '{expected}' is needed here")
    rest = {key: node for key, node in tree.items.items() if key != "schema"}
    key_origins = {key: where for key, where in tree.key_origins.items() if key != "schema"}
    return name.text, Mapping(rest, key_origins, tree.origin)


def resolve_run(run: Path, overrides: Iterable[str], expected: str) -> Resolved[Any]:
    """The configuration in the folder of a training run, with overrides on top."""
    place = run / RUN_CONFIG
    try:
        data = read_run_config(place)
        kind = "prior" if PRIOR_ALONE in data else "tokenizer"
    except ValueError as error:
        raise CheckpointError(f"{place}: {error}") from None
    if kind != expected:
        raise UsageError(f"{run}: a run of the {kind}; `videogen train {kind} --resume {run}` continues it")
    schema = schema_class(kind)
    own = {field.name: data[field.name] for field in dataclasses.fields(schema) if field.name in data}
    tree = parse(as_json(own), str(place), line_numbers=False)
    assert isinstance(tree, Mapping)
    return bind(schema, tree, overrides)


def schema_class(name: str) -> type[Any]:
    module, _, attribute = SCHEMAS[name].partition(":")
    schema: type[Any] = getattr(importlib.import_module(module), attribute)
    assert dataclasses.is_dataclass(schema)
    return schema
