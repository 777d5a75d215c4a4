"""A tokenizer and a token set that several test files train priors on."""

import pytest

from tests.tokens.conftest import make_model, make_videos
from tests.training.tiny_prior import Set
from videogen.data import build_index
from videogen.tokens import encode

LENGTHS = (9, 13, 17, 9, 10, 12, 13, 5, 21, 9, 13, 17)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Set:
    place = tmp_path_factory.mktemp("tokens")
    model = make_model(place / "model")
    encode(build_index(make_videos(place / "videos", LENGTHS), workers=1), place / "tokens", model)
    return place / "model", place / "tokens"
