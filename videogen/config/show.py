"""A resolved configuration as YAML or JSON; the YAML reads back as the same configuration."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from videogen.config.bind import Resolved
from videogen.config.strict_yaml import Mapping, Scalar, Sequence, plain
from videogen.storage import RemotePath


def as_json(resolved: Resolved[Any]) -> dict[str, Any]:
    """`{"config": nested values, "origins": dotted key -> file:line, "command line" or "default"}`."""
    return {"config": _plain(resolved.value), "origins": resolved.origins}


def as_yaml(schema: str, resolved: Resolved[Any]) -> str:
    """The whole configuration, with the origin of every value as a comment."""
    lines = [(f"schema: {schema}", ""), *_lines(_plain(resolved.value), "", 0, resolved.origins)]
    width = min(60, max(len(text) for text, _ in lines))
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping | Sequence | Scalar):
        return plain(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path | RemotePath) else value


def _lines(values: dict[str, Any], key: str, depth: int, origins: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        path = f"{key}.{name}" if key else name
        if isinstance(value, dict) and value:
            yield f"{'  ' * depth}{name}:", origins.get(path, "")
            yield from _lines(value, path, depth + 1, origins)
        else:
            yield f"{'  ' * depth}{name}: {json.dumps(value, ensure_ascii=False)}", origins.get(path, "default")
