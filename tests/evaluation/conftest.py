from pathlib import Path

import pytest

from tests.tokenizer.models import small_config, small_model
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.data import build_index
from videogen.models import TokenizerModel, load_tokenizer, tokenizer_files
from videogen.playroom.write import PlayroomConfig, write_playroom


@pytest.fixture(scope="package")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with random weights: f_t 4, f_s 8, for 9 frames of 32 x 32 at 8 per second."""
    config = small_config(f_t=4, f_s=8)
    weights = small_model(config).state_dict()
    folder = tmp_path_factory.mktemp("model") / "model"
    write_folder(folder, tokenizer_files(config, ClipSpec(32, 32, 8.0, 9), weights, "# a card"))
    return folder


@pytest.fixture(scope="package")
def model(model_folder: Path) -> TokenizerModel:
    return load_tokenizer(model_folder)


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "toys"
    write_playroom(folder, PlayroomConfig(clips=4, seed=3, size=40, frames=11))
    build_index(folder, workers=1)
    return folder
