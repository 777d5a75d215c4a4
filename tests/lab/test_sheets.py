"""Strips of frames of any shape are read back as they were saved."""

from pathlib import Path

import numpy as np
import pytest

from videogen.lab.sheets import load_strip, save_strip


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 24), (24, 16)])
def test_a_strip_is_read_back(height: int, width: int, tmp_path: Path) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), dtype=np.uint8)
    save_strip(clip, tmp_path / "strip.png")
    assert np.array_equal(load_strip(tmp_path / "strip.png"), clip)
