"""From a folder of clips to a model and back, as a newcomer types it."""

import json
import os
import pty
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from videogen.cli import main
from videogen.cli.train import as_line
from videogen.system.signals import catch_signals

CONFIG = """\
schema: tokenizer
data: {train: toys, fps: 8, validation_share: 0.3, validation_clips: 2}
phases:
  - {from_step: 0, height: 16, width: 16, frames: 5}
tokenizer:
  f_t: 4
  f_s: 8
  front: haar
  front_t: 4
  front_s: 4
  encoder_widths: [8, 12]
  encoder_blocks: [1, 1]
  decoder_widths: [8, 12]
  decoder_blocks: [1, 1]
  attention: true
  kernel_t: 2
  quantizer: {kind: fsq, levels: [8, 5, 5, 5]}
  spread_weight: 0.1
loss: {l1: 1, l2: 1, perceptual: null, adversarial: null}
optimizer: {learning_rate: 1e-3, warmup: 1, schedule: cosine}
training: {steps: 3, batch_size: 2, log_every: 1}
"""
PRIOR = """\
schema: prior
data: {train: toys, validation_share: 0.3, validation_clips: 2}
phases: [{from_step: 0, frames: 2}]
prior: {width: 16, layers: 1, heads: 2, kv_heads: 1, hidden: 24, window: 2, objective: masked}
text: {kind: bpe, vocabulary: 300, length: 6}
teaching: {corruption: 0}
optimizer: {learning_rate: 1e-3, warmup: 1, schedule: constant}
training: {steps: 2, batch_size: 2, log_every: 1}
"""
TOKENIZER_FOR_LONG = ("train", "tokenizer", "tiny.yaml", "training.steps=100000", "training.checkpoint_every=0")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(CONFIG)
    assert main(["data", "playroom", "toys", "--clips", "10", "--size", "16", "--frames", "6", "--seed", "5"]) == 0
    assert main(["data", "index", "toys", "--workers", "1"]) == 0
    capsys.readouterr()
    return tmp_path


def test_train_reconstruct_and_encode(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", "--threads", "1"]) == 0
    said = capsys.readouterr()
    assert "runs/tiny/model after 3 steps: psnr" in said.out
    assert "step 3 of 3 validation" in said.err
    assert said.err.count("TensorBoard") == (find_spec("tensorboard") is None)
    samples = sorted(place.suffix for place in Path("runs/tiny/samples").iterdir())
    assert samples == [".mp4", ".png"]
    assert main(["reconstruct", "toys/clip_000000.mp4", "seen.mp4", "--model", "runs/tiny"]) == 0
    assert main(["encode", "toys", "tokens", "--model", "runs/tiny", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out[said.out.index("{") :])["clips"] == 10
    assert main(["evaluate", "runs", "runs/tiny"]) == 0


def test_a_log_line_ends_with_the_remaining_time() -> None:
    line = {"step": 100, "kind": "train", "nats": 1.5, "speed": {"clips_per_second": 2.0}}
    text = "step  100 of 1000 train      nats 1.5  2.0 clips/s"
    assert as_line(line, 1000, "2 h 00 min left") == f"{text}  2 h 00 min left"
    assert as_line(line, 1000, "") == text


def test_a_run_resumes_and_can_be_longer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", "--quiet"]) == 0
    assert main(["train", "tokenizer", "tiny.yaml"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "tokenizer", "tiny.yaml", "training.steps=4", "--resume", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["steps"] == 4
    assert "'training.steps' was 3 and is now 4" in said.err
    assert main(["train", "tokenizer", "tiny.yaml", "training.batch_size=4", "--resume"]) == 2
    assert "'training.batch_size' was 2 and is now 4" in capsys.readouterr().err


def test_the_run_folder_is_enough_to_resume(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", "training.seed=7", "--quiet"]) == 0
    Path("tiny.yaml").unlink()
    assert main(["train", "tokenizer", "runs/tiny"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "tokenizer", "--resume", "runs/tiny", "training.steps=4", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["steps"] == 4
    assert "'training.steps' was 3 and is now 4" in said.err
    assert "was" not in said.err.replace("'training.steps' was", ""), "nothing else has changed"
    assert not Path("runs/runs").exists()
    for words, message in (
        (["--resume", "runs/tiny", "--run", "runs/other"], "leave out --run"),
        (["--resume", "runs/tiny", "optimizer.floor=0.5"], "'optimizer.floor' was 0.0 and is now 0.5"),
        (["--resume", "runs/tiny", "training.stepz=5"], "did you mean 'training.steps'?"),
        (["--resume", "toys"], "toys"),
    ):
        assert main(["train", "tokenizer", *words]) == 2
        assert message in capsys.readouterr().err
    assert main(["train", "prior", "--resume", "runs/tiny"]) == 2
    assert "`videogen train tokenizer --resume runs/tiny`" in capsys.readouterr().err


def test_a_resumed_prior_knows_its_tokenizer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", "--quiet"]) == 0
    Path("prior.yaml").write_text(PRIOR)
    assert main(["train", "prior", "prior.yaml"]) == 2
    assert "--tokenizer" in capsys.readouterr().err
    assert main(["train", "prior", "prior.yaml", "--tokenizer", "runs/tiny", "--quiet"]) == 0
    shutil.move("runs/tiny", "elsewhere")
    capsys.readouterr()
    assert main(["train", "prior", "--resume", "runs/prior", "training.steps=3"]) == 0
    assert [line for line in capsys.readouterr().err.splitlines() if "' was " in line] == [
        "'training.steps' was 2 and is now 3"
    ]
    assert main(["train", "prior", "--resume", "runs/prior", "--tokenizer", "elsewhere", "training.steps=4"]) == 0


def test_a_closed_terminal_saves_first(home: Path) -> None:
    """As when a connection is cut: SIGHUP comes, and every word that is written from then on is an error."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-m", "videogen", *TOKENIZER_FOR_LONG])
    said = b""
    while b"step" not in said or b"train" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    (kept,) = Path("runs/tiny/checkpoints").iterdir()
    assert main(["train", "tokenizer", "--resume", "runs/tiny", f"training.steps={int(kept.name[5:]) + 1}"]) == 0


def test_an_ignored_hangup_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with catch_signals() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked.number == 0
        assert main(["config", "list", "--quiet"]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    with catch_signals() as asked:
        os.kill(os.getpid(), signal.SIGHUP)
        assert asked.number == signal.SIGHUP


def test_a_dry_run_trains_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", "--dry-run", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["micro-batches"] == [[2, 5, 16, 16, 3]]
    assert figures["clips to validate with"] == 2
    assert figures["memory in MiB"]["together"] >= 0
    assert figures["tokens a second of video"] == "8 at 8 frames a second"
    assert not Path("runs").exists()


def test_a_run_prints_how_many_clips_it_uses(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", "--dry-run", "--json", "data.validation_clips=9"]) == 0
    used = json.loads(capsys.readouterr().out)
    train, validation = used["clips"], used["clips to validate with"]
    assert train + validation == 10
    assert main(["train", "tokenizer", "tiny.yaml", "training.steps=1", "data.validation_clips=9"]) == 0
    said = capsys.readouterr().err.splitlines()
    line = f"{train} clips to train on, {validation} to validate with (9 were requested)"
    assert said.count(line) == 1
    assert said.index(line) == 0, "before the first step"


def test_resume_without_a_run_is_noted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "tokenizer", "tiny.yaml", "training.steps=1", "--resume", "--run", "runs/tinny"]
    remark = "runs/tinny: "
    assert main(command) == 0
    assert remark in capsys.readouterr().err
    assert main(command) == 0
    assert remark not in capsys.readouterr().err


def test_changed_videos_are_named_before_the_first_step(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        os.utime(Path(f"toys/clip_00000{number}.mp4"), ns=(0, 0))
    assert main(["train", "tokenizer", "tiny.yaml"]) == 3
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert all(f"toys/clip_00000{number}.mp4" in said for number in range(3))
    assert "5 of 10" in said
    assert "`videogen data index toys`" in said
    assert not Path("runs/tiny/config.json").exists()


@pytest.mark.parametrize(
    ("overrides", "code", "words"),
    [
        (["tokenizer.quantizer.kind=fsk"], 2, "fsq"),
        (["tokenizer.f_z=4"], 2, "f_z"),
        (["tokenizer.f_s=16"], 2, "encoder_widths"),
        (["phases=[{from_step: 0, height: 20, width: 16, frames: 5}]"], 2, "multiples of"),
        (["optimizer.learning_rate=3"], 2, "learning_rate is 3"),
        (["data.train=elsewhere"], 3, "elsewhere"),
        (["data.train=tiny.yaml"], 3, "tiny.yaml"),
        (["steps=4"], 2, "unknown key 'steps'; did you mean 'training.steps'?"),
        (["betas=[0.5, 0.9]"], 2, "did you mean 'optimizer.betas' or 'discriminator_optimizer.betas'?"),
        (
            ["phases=[{from_step: 0, height: 16, width: 16, frames: 99}]"],
            3,
            "99 frames",
        ),
        (["init_from=nowhere"], 4, "nowhere"),
        (["loss.perceptual={kind: lpips, weight: 1, weights: nowhere.safetensors}"], 4, "nowhere.safetensors"),
        (["phases=[{from_step: 0, height: 8, width: 8, frames: 5}]"], 2, "SSIM"),
        (["data.fps=0"], 2, "data.fps is 0"),
        (["data.max_bad_fraction=-1"], 2, "data.max_bad_fraction is -1"),
        (["tokenizer.channels=1"], 2, "channels = 1"),
        (["training.seed=18446744073709551616"], 2, "training.seed is 18446744073709551616"),
        (["--run", "tiny.yaml"], 2, "tiny.yaml"),
        (["--device", "h100"], 2, "--dry-run"),
        (["--processes", "2"], 2, "--dry-run"),
    ],
)
def test_errors_are_one_line(
    home: Path, overrides: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "tokenizer", "tiny.yaml", *overrides]) == code
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert not list(Path().rglob("checkpoints/step_*"))
    assert not list(Path().rglob("config.json")), "no run has begun that would stand in the way of the next"


def test_a_tilde_is_a_home_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(home))
    assert main(["train", "tokenizer", "tiny.yaml", "--dry-run", "data.train=~/toys"]) == 0
    assert main(["train", "tokenizer", "tiny.yaml", "--dry-run", "data.train=~nobody-of-that-name/toys"]) == 2
    assert "there is no such user" in capsys.readouterr().err


def test_only_the_first_process_prints(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    for rank, speaks in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        for flags in ([], ["--json"]):
            assert main(["config", "show", "tiny.yaml", *flags]) == 0
            assert (capsys.readouterr().out != "") == speaks
