"""`videogen encode`: figures and exit codes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tokens.conftest import LENGTHS, make_model
from tests.tokens.programs import CHECKOUT
from videogen.cli import main, videogen_command
from videogen.cli.encode import encode as command
from videogen.models import TokenizerModel
from videogen.tokens import TokenSet

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    videogen_command.add_command(command)


def arguments(videos: Path, out: Path, model: TokenizerModel, *more: str) -> list[str]:
    return ["encode", str(videos), str(out), "--model", str(model.path), "--quiet", *more]


def test_figures(videos: Path, model: TokenizerModel, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(arguments(videos, out, model, "--json", "--clips-per-shard", "3")) == 0
    figures = json.loads(capsys.readouterr().out)
    tokens = TokenSet.open(out, model.fingerprint)
    assert (figures["clips"], figures["encoded_now"], figures["shards"]) == (len(LENGTHS), len(LENGTHS), 3)
    assert figures["frames"] == sum(LENGTHS)
    assert figures["latent_frames"] == tokens.latent_frames().sum()
    assert figures["tokens"] == figures["latent_frames"] * 4 * 6
    assert figures["bytes"] == sum(place.stat().st_size for place in out.glob("*.safetensors"))
    bits = figures["tokens"] * math.log2(1000) / (sum(LENGTHS) * 32 * 48)
    assert figures["bits_per_pixel"] == pytest.approx(bits, abs=1e-6)
    assert main(arguments(videos, out, model, "--clips-per-shard", "3")) == 0
    assert "  0 clips encoded now" in capsys.readouterr().out


def test_options_reach_the_set(videos: Path, model: TokenizerModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ["--fps", "4", "--height", "24", "--width", "16", "--frames", "3", "--threads", "1"]
    assert main(arguments(videos, out, model, *more)) == 0
    cut = TokenSet.open(out).description.clips
    assert (cut.height, cut.width, cut.fps, cut.frames) == (24, 16, 4, 3)


def refusal(capsys: Captured, code: int, given: list[str]) -> str:
    capsys.readouterr()
    assert main(given) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_exit_codes(videos: Path, model: TokenizerModel, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert "multiples of 8" in refusal(capsys, 2, arguments(videos, out, model, "--height", "20"))
    assert "fps" in refusal(capsys, 2, arguments(videos, out, model, "--fps", "0"))
    assert "no index there" in refusal(capsys, 3, arguments(tmp_path, out, model))
    nowhere = ["encode", str(videos), str(out), "--model", str(tmp_path / "nowhere")]
    assert "no such folder" in refusal(capsys, 4, nowhere)
    assert "abacus" in refusal(capsys, 2, arguments(videos, out, model, "--device", "abacus"))
    assert not out.exists()
    assert main(arguments(videos, out, model)) == 0
    assert "in 1 shard\n" in capsys.readouterr().out
    other = make_model(tmp_path / "other", seed=1)
    assert "another tokenizer" in refusal(capsys, 2, arguments(videos, out, other))


def test_the_command_is_light() -> None:
    program = (
        "import sys, videogen.cli.encode, videogen.tokens; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT).returncode == 0
