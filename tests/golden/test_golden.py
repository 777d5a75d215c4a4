"""The code gives the same bits as when the hashes were written, on the same kind of machine."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.golden.cases import generation, training
from tests.golden.machine import known_hashes, machine

HASHES = known_hashes()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(HASHES is None, reason=f"no hashes were written on {machine()}"),
]


def others(cases: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """{case: (the stored hash, the hash now)} for the cases that differ."""
    assert HASHES is not None
    return {name: (HASHES[name], now) for name, now in cases if HASHES[name] != now}


def test_generation_is_unchanged() -> None:
    assert others(generation()) == {}


@pytest.mark.filterwarnings("ignore:.*longer than 6 tokens")  # the tiny prior truncates prompts
def test_training_is_unchanged(tmp_path: Path) -> None:
    assert others(training(tmp_path)) == {}
