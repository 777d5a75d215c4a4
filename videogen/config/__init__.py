"""YAML files and `key.sub=value` overrides, mapped to the frozen dataclasses above the classes they configure.

`load(path, overrides, schema)` gives the dataclass and where each value came from; `resolve` looks up the schema that a
file names itself. Every mistake is one `ConfigError` line with the file, the line, the key and the nearest valid name.
"""

from videogen.config.bind import Resolved, load
from videogen.config.schemas import SCHEMAS, resolve, resolve_run
from videogen.config.show import as_json, as_yaml
from videogen.config.strict_yaml import ConfigError

__all__ = ["SCHEMAS", "ConfigError", "Resolved", "as_json", "as_yaml", "load", "resolve", "resolve_run"]
