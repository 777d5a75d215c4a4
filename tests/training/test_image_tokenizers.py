"""Image tokenizers of factorized ones: taken out as models of their own, and where factorized runs start from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip, small_config, small_factorized
from tests.training.programs import last_tensors
from tests.training.tiny import QUANTIZERS, tiny_config
from tokenizer.losses.objective import LossConfig
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.factorized import FactorizedTokenizer
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.networks.kinds import TokenizerConfig
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.networks.layouts.coarse_fine import CoarseFineConfig
from videogen.cli import main
from videogen.errors import UsageError
from videogen.models import load_tokenizer
from videogen.training.estimate.machine import find_machine
from videogen.training.tokenizer.config import PhaseConfig, TokenizerTrainingConfig
from videogen.training.tokenizer.dry_run import dry_run
from videogen.training.tokenizer.init_weights import init_weights
from videogen.training.tokenizer.run import run_tokenizer

VQ = QUANTIZERS["vq"]
FACTORIZED = small_factorized(quantizer=VQ, image_quantizer=VQ)


def config_of(data: Path, tokenizer: TokenizerConfig, steps: int = 1) -> TokenizerTrainingConfig:
    config = tiny_config(data, steps=steps)
    return replace(
        config,
        tokenizer=tokenizer,
        phases=(PhaseConfig(from_step=0, height=16, width=16, frames=5, image_share=0.4),),
        loss=LossConfig(1.0, 1.0, None, None),
        optimizer=replace(config.optimizer, schedule="constant", warmup=1),
        discriminator_optimizer=None,
    )


@pytest.fixture(scope="module")
def images(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of images alone, of one step."""
    folder = tmp_path_factory.mktemp("images") / "run"
    run_tokenizer(config_of(data, FACTORIZED.image), folder, resume=False)
    return folder


@pytest.fixture(scope="module")
def factorized(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("factorized") / "run"
    run_tokenizer(config_of(data, FACTORIZED, steps=4), folder, resume=False)
    return folder


def test_a_run_that_goes_on_equals_one_that_never_stopped(data: Path, factorized: Path, tmp_path: Path) -> None:
    """Both codebooks are moving averages, are revived, and have first codes from several steps."""
    for steps in (2, 4):
        run_tokenizer(config_of(data, FACTORIZED, steps), tmp_path / "run", resume=steps > 2)
    unbroken, resumed = last_tensors(factorized), last_tensors(tmp_path / "run")
    names = [name for name in unbroken if not name.startswith("best/")]  # one validated where it stopped, too
    assert any("other.learning" in name for name in names)
    assert [name for name in names if not torch.equal(unbroken[name], resumed[name])] == []


def test_the_exported_image_tokenizer_does_what_it_did_inside(factorized: Path, tmp_path: Path) -> None:
    out = tmp_path / "images"
    assert main(["export", str(factorized), str(out), "--image-tokenizer"]) == 0
    alone, inside = load_tokenizer(out), load_tokenizer(factorized).network.image
    assert alone.config == FACTORIZED.image
    assert (alone.clips.frames, alone.described["kind"]) == (1, "cnn")
    clip = noise_clip(2, 3, 16, 24)
    codes = encode_clip(inside, clip)
    assert torch.equal(encode_clip(alone.network, clip), codes)
    spec = inside.spec(16, 24)
    assert torch.equal(alone.network.decode(codes, spec)[0], inside.decode(codes, spec)[0])


def test_export_names_what_it_cannot_take_out(images: Path, factorized: Path, tmp_path: Path, capsys) -> None:
    assert main(["export", str(images), str(tmp_path / "out"), "--image-tokenizer"]) == 2
    assert "has no image tokenizer" in capsys.readouterr().err
    assert main(["export", str(factorized), str(tmp_path / "out"), "--image-tokenizer", "--dtype", "float16"]) == 2
    assert "--image-tokenizer" in capsys.readouterr().err


def begun_from(images: Path, data: Path, tokenizer: FactorizedTokenizerConfig) -> FactorizedTokenizer:
    """The network as a run with init_from begins it."""
    network = FactorizedTokenizer(tokenizer).eval()
    network.quantizer.begin_training()
    network.load_state_dict(init_weights(replace(config_of(data, tokenizer), init_from=images), network))
    return network


@pytest.mark.parametrize("image_quantizer", [VQ, None])
def test_a_factorized_run_begins_as_its_image_model(data: Path, images: Path, image_quantizer) -> None:
    begun = begun_from(images, data, replace(FACTORIZED, image_quantizer=image_quantizer))
    begun.quantizer.set_step(0)
    assert not begun.quantizer.looks_for_codes
    given, still = load_tokenizer(images).network, noise_clip(1, 1, 16, 24).expand(-1, -1, 5, -1, -1)
    codes, spec = encode_clip(given, still[:, :, :1]), begun.spec(16, 24)
    repeated = codes.expand(-1, 2, -1, -1).contiguous()
    assert torch.equal(encode_clip(begun, still), repeated)
    picture, _ = given.decode(codes, given.spec(16, 24))
    pixels, _ = begun.decode(repeated, spec)
    torch.testing.assert_close(pixels, picture.expand(-1, -1, 5, -1, -1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", [GRID, CoarseFineConfig(width=16)])
def test_its_image_tokenizer_begins_as_the_image_model(data: Path, images: Path, layout: LayoutConfig) -> None:
    begun = begun_from(images, data, replace(FACTORIZED, quantizer=FSQ_1000, layout=layout))
    assert begun.image is not None
    own = begun.image.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in load_tokenizer(images).network.state_dict().items())


@pytest.mark.slow
def test_a_run_with_an_image_model_trains(data: Path, images: Path, tmp_path: Path) -> None:
    config = replace(config_of(data, FACTORIZED), init_from=images)
    dry_run(config, find_machine("cpu"))
    assert run_tokenizer(config, tmp_path / "run", resume=False).steps == 1


@pytest.mark.parametrize(
    ("tokenizer", "named"),
    [
        (replace(FACTORIZED, encoder_widths=(8, 16)), "encoder_widths"),
        (replace(FACTORIZED, image_quantizer=FSQ_1000), "image_quantizer"),
        (replace(FACTORIZED, attention=False, front="patch"), "front, attention"),
        (small_config(quantizer=VQ), "f_t"),
    ],
)
def test_another_network_for_frames_is_named(data: Path, images: Path, tmp_path: Path, tokenizer, named: str) -> None:
    config = replace(config_of(data, tokenizer), init_from=images)
    with pytest.raises(UsageError, match=f"differs from .* in .*{named}"):
        run_tokenizer(config, tmp_path / "run", resume=False)


def test_another_kind_is_named(data: Path, factorized: Path, tmp_path: Path) -> None:
    config = replace(config_of(data, small_config()), init_from=factorized)
    with pytest.raises(UsageError, match=r"differs from this configuration in .*kind"):
        run_tokenizer(config, tmp_path / "run", resume=False)


def test_a_decoder_of_more_time_blocks_learns_for_the_same_codes(data: Path, factorized: Path, tmp_path: Path) -> None:
    config = config_of(data, replace(FACTORIZED, decoder_time_blocks=3))
    config = replace(config, init_from=factorized, phases=(replace(config.phases[0], decoder_only=True),))
    run_tokenizer(config, tmp_path / "run", resume=False)
    assert load_tokenizer(tmp_path / "run").fingerprint == load_tokenizer(factorized).fingerprint


def test_the_kinds_have_their_classes(images: Path, factorized: Path) -> None:
    assert isinstance(load_tokenizer(images).network, CNNTokenizer)
    assert isinstance(load_tokenizer(factorized).network, FactorizedTokenizer)
