"""The bundled model knows every prompt in the documentation."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.models import BUNDLED

ROOT = Path(__file__).parents[1]
VOCABULARY = PromptVocabulary.from_json(json.loads((BUNDLED / "prompt_vocabulary.json").read_text()))
PAGES = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [*sorted((ROOT / "videogen").rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]
QUOTED = re.compile(r"""["“]((?:a|an|the|it|two) [^"”\n]{3,}?)["”]|'((?:a|an) [^'\n]{3,}?)'""", re.IGNORECASE)
FREE = {"a crimson disk on navy"}  # shown because it is in other words than the model's
NO_PROMPTS = {  # quoted, but not to be typed
    "a dog on the beach",  # for a model of one's own
    "a cat, asleep",  # a caption of one's own
    "A bird's-eye view of a school of fish.",  # for a public prior
    "A small yellow duckling with fluffy feathers stands on a patch of dirt.",
    "a little white hoop quickly goes around in circles in front of a grey background "
    "while a medium cyan wedge sinks gently",  # a mistake of the model's
}


def prompts_of(text: str) -> Iterator[str]:
    text = re.sub(r"\n\s*", " ", text).replace('\\"', '"')
    for match in QUOTED.finditer(text):
        prompt = next(group for group in match.groups() if group)
        if "{" not in prompt:  # a pattern for prompts is none
            yield prompt


def texts_of(source: Path) -> Iterator[str]:
    """Docstrings and help texts."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        if isinstance(node, ast.keyword) and node.arg in ("help", "description"):
            yield from (
                part.value
                for part in ast.walk(node.value)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )


FOUND = sorted(
    {(place.relative_to(ROOT).as_posix(), prompt) for place in PAGES for prompt in prompts_of(place.read_text())}
    | {
        (place.relative_to(ROOT).as_posix(), prompt)
        for place in SOURCES
        for text in texts_of(place)
        for prompt in prompts_of(text)
    }
)


def test_documented_prompts_are_found() -> None:
    places = {place for place, _ in FOUND}
    assert {
        "README.md",
        "docs/generation.md",
        "docs/api.md",
        "videogen/cli/generation/generate.py",
        "videogen/pipeline.py",
    } <= places


@pytest.mark.parametrize(("place", "prompt"), FOUND)
def test_the_bundled_model_knows_a_documented_prompt(place: str, prompt: str) -> None:
    if prompt in NO_PROMPTS:
        return
    reading = VOCABULARY.read(prompt)
    if prompt in FREE:
        assert reading.rewritten
        assert not reading.unknown
    else:
        assert (reading.text, reading.missing, reading.held_out, reading.impossible) == (prompt, (), (), "")
