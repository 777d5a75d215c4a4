"""The code gives the same bits as when the hashes were written, on the same kind of machine."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.golden.cases import generation, training
from tests.golden.machine import FILE, machine

WRITTEN = json.loads(FILE.read_text())

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WRITTEN["machine"] != machine(), reason=f"the hashes are of {WRITTEN['machine']}"),
]


def others(cases: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """{case: (the stored hash, the hash now)} for the cases that differ."""
    return {name: (WRITTEN["hashes"][name], now) for name, now in cases if WRITTEN["hashes"][name] != now}


def test_generation_is_unchanged() -> None:
    assert others(generation()) == {}


@pytest.mark.filterwarnings("ignore:.*longer than 6 tokens")  # the tiny prior truncates prompts
def test_training_is_unchanged(tmp_path: Path) -> None:
    assert others(training(tmp_path)) == {}
