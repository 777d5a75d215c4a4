"""Reconstruction of one video: the file, the figures, the errors."""

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import small_config, small_model
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.errors import UsageError
from videogen.evaluation.tokenizer.metrics import Totals
from videogen.evaluation.tokenizer.video import reconstruct_video
from videogen.io import VideoWriter, read, scan, write_video
from videogen.io.pixels import to_clip, to_frames
from videogen.models import TokenizerModel, load_tokenizer, tokenizer_files
from videogen.system.signals import Interrupted


@pytest.fixture
def film(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 256, (10, 44, 52, 3), np.uint8)
    write_video(tmp_path / "film.mp4", frames, 12.5)
    return tmp_path / "film.mp4"


def test_the_figures_are_those_of_the_frames(model: TokenizerModel, film: Path, tmp_path: Path) -> None:
    figures = reconstruct_video(model, film, tmp_path / "seen")  # a folder of PNGs: lossless
    originals = torch.from_numpy(read(film, range(10))[:, 2:42, 2:50].copy())  # 40 x 48 in the middle
    codes = encode_clip(model.network, to_clip(originals[None]))
    made = to_frames(model.network.decode(codes, model.spec_of(40, 48))[0])[0][:10]
    quality = Totals().plus_frames(made, originals).quality()
    assert figures["frames"] == 10
    assert (figures["psnr"], figures["ssim"]) == pytest.approx((quality.psnr, quality.ssim), abs=1e-9)
    assert figures["tokens"] == codes.shape[:-1].numel()
    assert figures["bits_per_pixel"] == pytest.approx(figures["tokens"] * np.log2(1000) / (10 * 40 * 48))
    from PIL import Image

    pictures = [np.asarray(Image.open(place)) for place in sorted((tmp_path / "seen").glob("*.png"))]
    assert np.array_equal(np.stack(pictures), made.numpy())


def test_a_tokenizer_that_is_not_causal_is_refused(film: Path, tmp_path: Path) -> None:
    network = small_model(small_config(causal=False))
    write_folder(
        tmp_path / "model", tokenizer_files(network.config, ClipSpec(32, 32, 8.0, 9), network.state_dict(), "# a card")
    )
    with pytest.raises(UsageError, match="not causal"):
        reconstruct_video(load_tokenizer(tmp_path / "model"), film, tmp_path / "seen.mp4")
    assert not (tmp_path / "seen.mp4").exists()


def test_side_by_side_is_twice_as_wide(model: TokenizerModel, film: Path, tmp_path: Path) -> None:
    reconstruct_video(model, film, tmp_path / "both.mp4", size=(32, 40), side_by_side=True)
    seen = scan(tmp_path / "both.mp4")
    assert (seen.height, seen.width, len(seen.pts)) == (32, 80, 10)
    assert seen.fps == pytest.approx(12.5)


def test_the_command(model_folder: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "seen.mp4")
    assert main(["reconstruct", str(film), out, "--model", str(model_folder), "--json", "--size", "16x24"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["height"], figures["width"], figures["frames"]) == (16, 24, 10)
    assert main(["reconstruct", str(film), out, "--model", str(model_folder)]) == 2
    assert f"{out}: already exists; --overwrite" in capsys.readouterr().err
    assert main(["reconstruct", str(film), out, "--model", str(model_folder), "--overwrite"]) == 0
    assert "PSNR" in capsys.readouterr().out


def test_a_crop_is_reported(model_folder: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reconstruct", str(film), str(tmp_path / "seen.mp4"), "--model", str(model_folder), "--overwrite"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert re.search("^size +40 x 48 of 44 x 52$", said.out, re.MULTILINE)
    assert said.err.count("the video is 44 x 52") == 1
    assert "cropped to its middle, 40 x 48" in said.err
    assert main([*command, "--size", "16x24"]) == 0
    said = capsys.readouterr()
    assert re.search("^size +16 x 24 of 44 x 52$", said.out, re.MULTILINE)
    assert said.err == "", "it was asked for"
    write_video(tmp_path / "whole.mp4", np.zeros((3, 32, 40, 3), np.uint8), 8.0)
    assert main(["reconstruct", str(tmp_path / "whole.mp4"), *command[2:]]) == 0
    said = capsys.readouterr()
    assert re.search("^size +32 x 40$", said.out, re.MULTILINE)
    assert said.err == ""


def test_an_interrupted_run_leaves_a_playable_file(
    model: TokenizerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "film.mp4", np.zeros((100, 32, 32, 3), np.uint8), 12.5)
    written = []

    def stopped_while_writing(writer: VideoWriter, frames: NDArray[np.uint8]) -> None:
        written.append(len(frames))
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        write(writer, frames)

    write = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", stopped_while_writing)
    with pytest.raises(KeyboardInterrupt, match=r"\d+ of 100 frames") as caught:
        reconstruct_video(model, tmp_path / "film.mp4", tmp_path / "seen.mp4")
    assert isinstance(caught.value, Interrupted)
    assert caught.value.exit_code == 130
    assert len(written) == 2
    assert len(scan(tmp_path / "seen.mp4").pts) == sum(written)


def test_overwriting_a_folder_of_frames_leaves_no_old_frame(model_folder: Path, film: Path, tmp_path: Path) -> None:
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "frame_000099.png").write_text("of a longer video")
    command = ["reconstruct", str(film), str(tmp_path / "seen"), "--model", str(model_folder)]
    assert main(command) == 2
    assert main([*command, "--overwrite"]) == 0
    assert len(list((tmp_path / "seen").iterdir())) == 10


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["film.mp4", "seen.mp4", "--size", "30x32"], 2, "--size is 30x32; both must be multiples of 8"),
        (["film.mp4", "seen.mp4", "--size", "big"], 2, "HEIGHTxWIDTH"),
        (["film.mp4", "film.mp4", "--overwrite"], 2, "is the input"),
        (["film.mp4", "seen.ogv", "--model", "nowhere"], 2, "'seen.ogv' does not end in .mp4"),
        (["film.mp4", "nowhere/seen.mp4", "--model", "nowhere"], 2, "no folder"),
        (["nothing.mp4", "seen.mp4"], 3, "nothing.mp4"),
        (["film.mp4", "seen.mp4", "--device", "cuda:7"], 5, "--device cuda:7"),
    ],
)
def test_errors_are_one_line(
    model_folder: Path,
    film: Path,
    arguments: list[str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(film.parent)
    before = film.read_bytes()
    assert main(["reconstruct", "--model", str(model_folder), *arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert film.read_bytes() == before
    assert not Path("seen.mp4").exists()
