"""`--tokens`: a model of nested tokens with its first ones alone, from token sets and their prior to videos."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip, small_config
from tests.training.tiny_prior import tiny_config, train
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.layouts import LayoutConfig
from tokenizer.networks.layouts.grid import GridConfig
from tokenizer.networks.layouts.line import LineConfig
from tokenizer.quantize import QuantizerConfig, ResidualConfig
from videogen.checkpoint import write_folder
from videogen.cli import main
from videogen.clip_spec import ClipSpec
from videogen.data import build_index
from videogen.errors import UsageError
from videogen.models import keep_first_levels, keep_first_tokens, load_prior, load_tokenizer, tokenizer_files
from videogen.playroom.write import PlayroomConfig, write_playroom
from videogen.tokens import TokenSet

Captured = pytest.CaptureFixture[str]
NESTED = LineConfig(tokens=8, width=16, heads=2, blocks=0, decoder_blocks=0, nested=0.5)


def write_model(folder: Path, layout: LayoutConfig = NESTED, quantizer: QuantizerConfig = FSQ_1000) -> Path:
    config = replace(small_config(quantizer=quantizer), layout=layout)
    weights = make_tokenizer(config).state_dict()
    write_folder(folder, tokenizer_files(config, ClipSpec(32, 32, 8.0, 9), weights, "# a card"))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "line")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "toys"
    write_playroom(folder, PlayroomConfig(clips=6, seed=3, size=32, frames=9))
    build_index(folder, workers=1)
    return folder


def test_first_tokens_are_a_model_of_their_own(model: Path) -> None:
    whole, few = load_tokenizer(model), load_tokenizer(model, tokens=3)
    assert few.spec.tokens == 3
    assert few.fingerprint != whole.fingerprint == keep_first_tokens(whole, 8).fingerprint
    assert few.fingerprint == keep_first_tokens(keep_first_tokens(whole, 5), 3).fingerprint
    clip = noise_clip(1, 6, 32, 32)
    assert encode_clip(few.network, clip).equal(encode_clip(whole.network, clip)[:, :, :3])


def test_first_levels_are_a_model_of_their_own(tmp_path: Path) -> None:
    levels = ResidualConfig(FSQ_1000, depth=3, scale=0.2)
    whole = load_tokenizer(write_model(tmp_path / "residual", GridConfig(), levels))
    clip, few = noise_clip(1, 6, 32, 32), keep_first_levels(whole, 2)
    codes, places = encode_clip(few.network, clip), few.spec.depth
    assert (3 * places, few.fingerprint != whole.fingerprint) == (2 * whole.spec.depth, True)
    assert codes.equal(encode_clip(whole.network, clip)[..., :places])
    assert keep_first_levels(whole, 3) is whole
    with pytest.raises(UsageError, match="--levels 4: it has 3"):
        keep_first_levels(whole, 4)


def test_a_clip_is_compressed_with_fewer_codes(model: Path, clips: Path, tmp_path: Path) -> None:
    residual = write_model(tmp_path / "residual", GridConfig(), ResidualConfig(FSQ_1000, depth=3, scale=0.2))
    clip = str(next(iter(sorted(clips.rglob("*.mp4")))))
    for folder, option in ((model, ["--tokens", "2"]), (residual, ["--levels", "1"])):
        sizes = []
        for number, options in enumerate(([], option)):
            made = [str(tmp_path / f"{folder.name}_{number}{suffix}") for suffix in (".vgc", "")]
            assert main(["compress", clip, made[0], "--model", str(folder), *options]) == 0
            assert main(["decompress", *made, "--model", str(folder)]) == 0
            sizes.append(Path(made[0]).stat().st_size)
            assert len(list(Path(made[1]).iterdir())) == 9
        assert sizes[1] < sizes[0]


def test_a_report_shows_what_each_doubling_of_tokens_gains(model: Path, clips: Path, tmp_path: Path) -> None:
    command = ["evaluate", "tokenizer", str(clips), "--model", str(model), "--quiet", "--out", str(tmp_path / "seen")]
    assert main(command) == 0
    figures = json.loads((tmp_path / "seen" / "figures.json").read_text())
    curve = figures["psnr_of_first_tokens"]
    assert list(curve) == ["1", "2", "4", "8"]
    assert curve["8"] == pytest.approx(figures["psnr"])
    assert "<polyline" in (tmp_path / "seen" / "tokens.svg").read_text()
    assert main([*command, "--overwrite", "--tokens", "2"]) == 0
    few = json.loads((tmp_path / "seen" / "figures.json").read_text())
    assert few["psnr"] == pytest.approx(curve["2"])
    assert few["tokens"] == figures["tokens"] / 4


def test_a_prior_of_first_tokens_generates(model: Path, clips: Path, tmp_path: Path) -> None:
    tokens, run = tmp_path / "tokens", tmp_path / "run"
    assert main(["encode", str(clips), str(tokens), "--model", str(model), "--tokens", "3", "--quiet"]) == 0
    assert TokenSet.open(tokens).description.tokenizer == load_tokenizer(model, tokens=3).fingerprint
    train(model, tokens, run, config=tiny_config(tokens), steps=2)
    made = load_prior(run)
    assert made.spec == made.tokenizer.spec == load_tokenizer(model, tokens=3).spec
    video = tmp_path / "made.mp4"
    assert main(["generate", "a ball", "-o", str(video), "--model", str(run), "--frames", "5", "--quiet"]) == 0
    assert video.is_file()
    assert main(["encode", str(clips), str(tokens), "--model", str(model), "--quiet"]) == 2


def test_several_workers_make_the_same_first_tokens(model: Path, clips: Path, tmp_path: Path) -> None:
    common = ["--model", str(model), "--tokens", "3", "--clips-per-shard", "3", "--quiet"]
    for workers in ("1", "2"):
        assert main(["encode", str(clips), str(tmp_path / workers), *common, "--workers", workers]) == 0
    one, two = (sorted((tmp_path / name).glob("*.safetensors")) for name in ("1", "2"))
    assert len(one) == 2
    assert [place.read_bytes() for place in one] == [place.read_bytes() for place in two]


@pytest.mark.parametrize(
    ("layout", "tokens", "message"),
    [
        (GridConfig(), "3", "--tokens 3 needs tokens on a line"),
        (replace(NESTED, nested=0.0), "3", "only a model trained with nested > 0 does"),
        (NESTED, "9", "9 tokens: there are 1 to 8"),
    ],
)
def test_models_without_such_tokens_are_refused(
    layout: LayoutConfig, tokens: str, message: str, clips: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = str(write_model(tmp_path / "model", layout))
    clip, out = str(clips / "clip_000000.mp4"), str(tmp_path / "out")
    for command in (
        ["reconstruct", clip, f"{out}.mp4"], ["evaluate", "tokenizer", str(clips)], ["encode", str(clips), out],
    ):  # fmt: skip
        assert main([*command, "--model", model, "--tokens", tokens]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
