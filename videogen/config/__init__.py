"""YAML files and `key.sub=value` overrides, read into frozen dataclasses.

`load(schema, path, overrides)` gives the dataclass and the origin of each value; `resolve` uses the schema that the
file names. Every mistake is a `ConfigError` of one line with the file, the line, the key and the nearest valid name.
"""

from videogen.config.bind import Resolved, load
from videogen.config.schemas import SCHEMAS, resolve, resolve_run
from videogen.config.show import as_json, as_yaml
from videogen.config.strict_yaml import ConfigError

__all__ = ["SCHEMAS", "ConfigError", "Resolved", "as_json", "as_yaml", "load", "resolve", "resolve_run"]
