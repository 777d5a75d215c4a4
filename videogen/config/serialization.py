"""Read dataclasses from JSON as strictly as from a configuration file."""

from typing import Any

from videogen.checkpoint import as_json
from videogen.config.bind import bind
from videogen.config.strict_yaml import ConfigError, Mapping, parse
from videogen.errors import CheckpointError


def from_json(schema: Any, data: Any, place: str) -> Any:
    """The dataclass `schema` from JSON data; CheckpointError if they do not fit."""
    try:
        tree = parse(as_json(data), place, line_numbers=False)
        assert isinstance(tree, Mapping)
        return bind(schema, tree).value
    except (ConfigError, AssertionError) as error:
        raise CheckpointError(str(error) or f"{place}: not a section of settings") from None
