"""Parts of our configuration files, read without what a whole training would import."""

from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def settings(file: str) -> dict[str, Any]:
    """As plain data."""
    import yaml

    read: dict[str, Any] = yaml.safe_load((CONFIGS / file).read_text(encoding="utf-8"))
    return read


def part(file: str, name: str, schema: Any) -> Any:
    """One section as the dataclass that it is for."""
    from videogen.config.plain import from_json

    return from_json(schema, settings(file)[name], file)
