"""Clips that several test files train tokenizers on; a tokenizer and a token set to train priors on."""

from pathlib import Path

import pytest

from tests.tokens.conftest import make_model, make_videos
from tests.training.tiny_prior import Set
from videogen.data import build_index
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.tokens import encode

LENGTHS = (9, 13, 17, 9, 10, 12, 13, 5, 21, 9, 13, 17)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Set:
    place = tmp_path_factory.mktemp("tokens")
    model = make_model(place / "model")
    encode(build_index(make_videos(place / "videos", LENGTHS), workers=1), place / "tokens", model)
    return place / "model", place / "tokens"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "toys"
    write_playroom(folder, PlayroomConfig(clips=12, seed=3, size=24, frames=9))
    build_index(folder, workers=1)
    return folder
