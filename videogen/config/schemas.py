"""Which dataclass a configuration file is for: its first line says `schema: NAME`, one of these.

Importing this module imports none of them, for some stand beside code that needs torch.
"""

import dataclasses
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from videogen.config.bind import Resolved, bind
from videogen.config.strict_yaml import ConfigError, Mapping, Scalar, nearest, read

SCHEMAS = {
    "prompt_vocabulary": "videogen.prompt_vocabulary:PromptVocabulary",
    "playroom": "videogen.playroom.write:PlayroomConfig",
    "tokenizer": "videogen.training.tokenizer_config:TokenizerTrainingConfig",
    "prior": "videogen.training.prior_config:PriorTrainingConfig",
}


def resolve(path: Path, overrides: Iterable[str] = (), expected: str | None = None) -> tuple[str, Resolved[Any]]:
    """The schema's name and the configuration of a file, which must be of the `expected` schema where one is given."""
    tree = read(path)
    name = tree.items.get("schema")
    if not isinstance(name, Scalar):
        raise ConfigError(f"{path}: 'schema' is missing; the file must say what it configures: {', '.join(SCHEMAS)}")
    if name.text not in SCHEMAS:
        raise ConfigError(f"{name.origin}: unknown schema '{name.text}'{nearest(name.text, SCHEMAS)}")
    if expected not in (None, name.text):
        raise ConfigError(f"{name.origin}: this file configures '{name.text}'; one for '{expected}' is needed here")
    rest = {key: node for key, node in tree.items.items() if key != "schema"}
    key_origins = {key: where for key, where in tree.key_origins.items() if key != "schema"}
    return name.text, bind(schema_class(name.text), Mapping(rest, key_origins, tree.origin), overrides)


def schema_class(name: str) -> type[Any]:
    module, _, attribute = SCHEMAS[name].partition(":")
    schema: type[Any] = getattr(importlib.import_module(module), attribute)
    assert dataclasses.is_dataclass(schema)
    return schema
