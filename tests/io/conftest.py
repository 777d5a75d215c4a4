from pathlib import Path

import pytest

from tests.io.clips import KINDS, make


@pytest.fixture(scope="session")
def clean_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One clean clip of every kind, made once."""
    folder = tmp_path_factory.mktemp("clips")
    return {kind.name: make(kind, folder) for kind in KINDS}
