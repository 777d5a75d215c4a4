"""Python in the documentation: all names exist, and code that needs only a model runs."""

import ast
import builtins
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.tiny import write_model
from videogen.io import write_video

ROOT = Path(__file__).parents[1]
GIVEN = {  # names that a page speaks of around its code
    "docs/prior.md": {"prior", "text", "batch", "past", "codes", "known", "settings", "rng", "torch"},
    "docs/tokenizer.md": {"clip"},
}
RUN = ("README.md", "docs/generation.md")
OPTIONAL = ("openai",)


def blocks_of(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


PAGES = {
    place.relative_to(ROOT).as_posix(): blocks
    for place in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if (blocks := blocks_of(place))
}


def imported(tree: ast.AST) -> Iterator[tuple[str, object]]:
    """Each imported name and its object; ImportError or AttributeError if it does not exist."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in OPTIONAL:
            module = importlib.import_module(node.module or "")
            yield from ((alias.asname or alias.name, getattr(module, alias.name)) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, importlib.import_module(alias.name)) for alias in node.names)


def names_of(tree: ast.AST, context: type) -> set[str]:
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        aliases = [
            alias for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names
        ]
        found |= {(alias.asname or alias.name).split(".")[0] for alias in aliases}
    return found


def test_documented_code_exists() -> None:
    assert set(RUN) <= set(PAGES)
    assert len(PAGES) >= 5


@pytest.mark.parametrize("page", PAGES)
def test_documented_names_exist(page: str) -> None:
    tree = ast.parse("\n".join(PAGES[page]))
    known = dict(imported(tree))
    unknown = names_of(tree, ast.Load) - names_of(tree, ast.Store) - GIVEN.get(page, set()) - set(dir(builtins))
    assert not unknown
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        function = known.get(call.func.id)  # type: ignore[attr-defined]
        if callable(function):
            keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg is not None}
            inspect.signature(function).bind_partial(*call.args, **keywords)


@pytest.mark.parametrize("page", RUN)
def test_documented_code_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model of random weights, and files with the names on the page."""
    monkeypatch.setattr("videogen.models.BUNDLED", write_model(tmp_path / "runs" / "play"))
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "ring.mp4"):
        write_video(tmp_path / name, np.zeros((17, 16, 24, 3), np.uint8), 8)
    names: dict[str, object] = {}
    for block in PAGES[page]:
        exec(compile(block, page, "exec"), names)
    assert (tmp_path / "star.mp4").exists()
