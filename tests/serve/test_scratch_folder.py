"""The folder of a server's videos is locked while the server lives, and removed after it died."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from videogen.serve.media.scratch_folder import PREFIX, ScratchFolder, remove_abandoned

MAKES_ONE = """
from videogen.serve.media.scratch_folder import ScratchFolder
folder = ScratchFolder()
(folder.path / "video.mp4").write_text("x")
print(folder.path, flush=True)
input()
"""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_folder_of_a_killed_server_is_removed(home):
    with subprocess.Popen(
        [sys.executable, "-c", MAKES_ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        assert theirs.parent == home
        ours = ScratchFolder()
        assert (theirs / "video.mp4").exists(), "it lives"
        process.kill()
    another = ScratchFolder()
    assert not theirs.exists()
    assert ours.path.exists()
    for folder in (ours, another):
        folder.remove()
    assert list(home.iterdir()) == []


def test_other_files_stay(home):
    (home / "videogen-other").mkdir()
    (home / "precious").mkdir()
    (home / f"{PREFIX}link").symlink_to(home / "precious")
    (home / f"{PREFIX}file").write_text("x")
    assert remove_abandoned(home) == []
    assert len(list(home.iterdir())) == 4


def test_deleted_folder_is_recreated_and_locked(home):
    ours = ScratchFolder()
    ours.path.rmdir()
    ours.recreate()
    assert remove_abandoned(home) == []
    assert ours.path.is_dir()
    ours.remove()
