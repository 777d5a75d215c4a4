"""Configurations as plain data, and figures as words."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from videogen.training.stage import Json


def plain(config: Any) -> Json:
    """The configuration as JSON would hold it."""

    def path(value: object) -> str:
        assert isinstance(value, Path)
        return str(value)

    return json.loads(json.dumps(asdict(config), default=path))  # type: ignore[no-any-return]


def table(figures: Json) -> str:
    """Figures for people, a line each; what is empty is left out."""
    return "\n".join(f"{name:<28} {said(value)}" for name, value in figures.items() if value not in ([], None))


def said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item:,}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(" x ".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
