from pathlib import Path

import pytest

from tests.pipeline.tiny import write_model
from videogen.pipeline import VideoPipeline


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("models")
    return {
        "masked": write_model(home / "masked"),
        "autoregressive": write_model(home / "autoregressive", "autoregressive"),
        "textless": write_model(home / "textless", text=False),
        "captions": write_model(home / "captions", captions=True),
        "captions_in_order": write_model(home / "captions_in_order", "autoregressive", captions=True),
    }


@pytest.fixture(scope="session")
def pipe(folders: dict[str, Path]) -> VideoPipeline:
    return VideoPipeline.from_pretrained(folders["masked"])


@pytest.fixture(scope="session")
def autoregressive_pipe(folders: dict[str, Path]) -> VideoPipeline:
    return VideoPipeline.from_pretrained(folders["autoregressive"])
