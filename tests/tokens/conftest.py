"""Sets of small videos of many lengths, and tokenizers with random weights, as folders on disk."""

from pathlib import Path

import numpy as np
import pytest

from tests.tokenizer.models import FSQ_1000, small_config, small_model
from tokenizer.quantize import QuantizerConfig
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.data import Index, build_index
from videogen.io import write_video
from videogen.models import TokenizerModel, load_tokenizer, tokenizer_files

LENGTHS = (1, 9, 2, 6, 13, 5, 4)  # frames: some fill their latent frames of four, most do not


def make_videos(folder: Path, lengths: tuple[int, ...] = LENGTHS, fps: float = 8) -> Path:
    """Clips of colored blocks 48 x 32 that change with every frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frames in enumerate(lengths):
        colours = np.random.default_rng(number).integers(0, 256, (frames, 2, 3, 3), dtype=np.uint8)
        write_video(folder / f"clip_{number:03}.mp4", colours.repeat(16, axis=1).repeat(16, axis=2), fps)
        (folder / f"clip_{number:03}.txt").write_text(f"caption {number}")
    return folder


def make_model(
    folder: Path, seed: int = 0, quantizer: QuantizerConfig = FSQ_1000, fps: float = 8, causal: bool = True
) -> TokenizerModel:
    network = small_model(small_config(quantizer=quantizer, causal=causal), seed)
    clips = ClipSpec(height=32, width=48, fps=fps, frames=5)
    write_folder(folder, tokenizer_files(network.config, clips, network.state_dict(), "A test's tokenizer."))
    return load_tokenizer(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its name below the folder, hidden ones too, but for the locks (which are empty)."""
    files = (place for place in folder.rglob("*") if place.is_file() and place.parent.name != ".locks")
    return {place.relative_to(folder).as_posix(): place.read_bytes() for place in files}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_videos(tmp_path_factory.mktemp("videos") / "set")
    build_index(folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def index(videos: Path) -> Index:
    return build_index(videos, workers=1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> TokenizerModel:
    return make_model(tmp_path_factory.mktemp("models") / "tokenizer")
