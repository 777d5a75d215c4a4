"""`videogen info` of a compressed file."""

import json
from pathlib import Path

import pytest

from tests.evaluation.models import write_whole_model
from videogen.cli import main
from videogen.models import load_prior


def test_info_describes_a_file_without_its_model(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, file = write_whole_model(tmp_path), tmp_path / "clip.vgc"
    command = ["compress", str(next(data.glob("*.mp4"))), str(file), "--model", str(whole), "--size", "16x16"]
    assert main([*command, "--chunk", "1", "--scene", "0.6", "--steps", "3", "--json", "--quiet"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert main(["info", str(file), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    for name in ("frames", "latent_frames", "scenes", "bytes", "payload", "height", "width", "fps"):
        assert seen[name] == written[name], name
    assert (seen["frames"], seen["scenes"], seen["chunks"], seen["chunk"], seen["steps"]) == (11, 3, 5, 1, 3)
    assert seen["damage"] is None
    assert seen["model"] == load_prior(whole).fingerprint[:16]
    assert main(["info", str(file)]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["probabilities"].strip() == "of the prior, order halton, 3 steps"
    assert lines["whole"].strip().startswith("yes")
    raw = file.read_bytes()
    file.write_bytes(raw[:-12])
    assert main(["info", str(file), "--json"]) == 0
    cut = json.loads(capsys.readouterr().out)
    assert 0 < cut["chunks"] < 5
    assert cut["frames"] < 11
    assert "cut off" in cut["damage"]
    for place in (len(raw) - 5, len(raw) - 1):  # its number of frames, and its check
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
        assert main(["info", str(file)]) == 0
        assert "its end is not that of these frames" in capsys.readouterr().out
    file.write_bytes(raw[:20])
    assert main(["info", str(file)]) == 3
    assert "inside its header" in capsys.readouterr().err
