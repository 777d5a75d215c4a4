"""A cache of its own for each test, and an empty memory:// file system."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDEOGEN_STORAGE_SECONDS", "5")
    return tmp_path / "cache"


@pytest.fixture
def memory(cache: Path) -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)
