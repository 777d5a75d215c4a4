"""Tokens on a line: any number of first tokens decodes, and nothing else decides what is seen."""

from dataclasses import replace

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import moving_squares, noise_clip, small_config
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.networks.layouts.line import LineConfig, random_lengths
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.module_state import make_optimizer

NESTED = LineConfig(tokens=8, width=16, heads=2, blocks=1, decoder_blocks=1, maps=4, nested=1.0)


def line_tokenizer(layout: LineConfig = NESTED) -> LatentTokenizer:
    torch.manual_seed(0)
    return make_tokenizer(replace(small_config(), layout=layout)).eval()


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (40, 136)])
def test_any_frame_size_has_as_many_tokens(size: tuple[int, int]) -> None:
    model, clip = line_tokenizer(), noise_clip(1, 5, *size)
    spec = model.spec(*size)
    assert (spec.tokens, spec.size) == (8, size)
    assert model.decode(encode_clip(model, clip), spec)[0].shape == clip.shape


def test_a_prefix_decodes_as_in_training() -> None:
    """Without the other tokens, as with them where training hides them."""
    model = line_tokenizer()
    latents = torch.randn(2, 3, 8, 4)
    for tokens in (1, 3, 8):
        seen = (torch.arange(8) < tokens).expand(6, 8)
        hidden = model.layout.decoder(latents.flatten(0, 1), (4, 6), seen)  # type: ignore[operator]
        alone = model.layout.decode(latents[:, :, :tokens], (4, 6))
        torch.testing.assert_close(alone, hidden.unflatten(0, (2, 3)))


def test_a_model_that_keeps_a_prefix_makes_the_first_codes_and_the_frames_of_a_prefix() -> None:
    model, kept, clip = line_tokenizer(), line_tokenizer(replace(NESTED, kept=3)), noise_clip(2, 7, 32, 32)
    codes, few = encode_clip(model, clip), encode_clip(kept, clip)
    assert torch.equal(few, codes[:, :, :3])
    spec = model.spec(32, 32).resized([(3,)])
    assert spec == kept.spec(32, 32)
    assert torch.equal(model.decode(few, spec)[0], kept.decode(few, spec)[0])
    assert not torch.equal(model.decode(few, spec)[0], model.decode(codes, model.spec(32, 32))[0])


def test_a_prefix_decodes_only_where_it_was_trained() -> None:
    model = line_tokenizer(replace(NESTED, nested=0.0))
    spec = model.spec(32, 32)
    for tokens, message in ((3, "3 of 8 tokens do not decode.*nested > 0"), (9, "9 tokens: there are 1 to 8")):
        other = spec.resized([(tokens,)])
        with pytest.raises(ValueError, match=message):
            model.decode(other.empty(1, 1), other)
    with pytest.raises(ValueError, match="not the tokens of this tokenizer"):
        model.decode(spec.empty(1, 1), replace(spec, size=(32, 36)))


def test_all_doublings_of_lengths_are_equally_likely() -> None:
    torch.manual_seed(0)
    lengths = random_lengths(20_000, 31, 1.0, torch.device("cpu"))
    assert lengths.unique().tolist() == list(range(1, 32))
    for power in range(5):
        share = ((lengths >= 2**power) & (lengths < 2 ** (power + 1))).float().mean()
        assert share == pytest.approx(0.2, abs=0.02)
    assert (random_lengths(100, 31, 0.0, torch.device("cpu")) == 31).all()


def test_prefixes_are_powers_of_two_and_all() -> None:
    assert replace(NESTED, tokens=32).prefixes == (1, 2, 4, 8, 16, 32)
    assert replace(NESTED, tokens=12).prefixes == (1, 2, 4, 8, 12)
    assert replace(NESTED, kept=1).prefixes == (1,)
    assert replace(NESTED, nested=0.0).prefixes == ()


def test_tables_of_tokens_are_not_orthogonalized() -> None:
    """Each token's row learns on its own."""
    model = line_tokenizer()
    optimizer = make_optimizer(
        model, OptimizerConfig(1e-3, warmup=0, schedule="constant", algorithm="muon"), fused=False, bf16=False
    )
    matrices = {id(weights) for weights in optimizer.param_groups[0]["params"]}
    rows = [name for name, weights in model.layout.named_parameters() if weights.shape[0] == 8 and weights.ndim == 2]
    assert len(rows) == 6
    assert not any(id(weights) in matrices for name, weights in model.layout.named_parameters() if name in rows)


@pytest.mark.slow
def test_nested_training_makes_a_prefix_better() -> None:
    """2 of 8 tokens after 150 steps, decoded by the model that saw prefixes and by one that saw all tokens."""
    errors = {}
    for nested in (0.0, 1.0):
        model = line_tokenizer(replace(NESTED, nested=nested)).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(150):
            clip = moving_squares(4, 5, 32, seed=step)
            out = model(clip)
            loss = (out.clip - clip).square().mean() + sum(out.losses.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        clip = moving_squares(16, 5, 32, seed=1000)
        latents, _ = model.encode_latents(clip)
        features = model.layout.decode(model.quantizer.quantize(latents).latents[:, :, :2], (4, 4))
        frames = model.patchify.inverse(model.decoder(features, None)[0])[:, :, 3:]
        errors[nested] = float((frames - clip).square().mean().detach())
    assert errors[1.0] < errors[0.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokens": 0}, "tokens = 0"),
        ({"heads": 3}, "heads = 3 must divide width = 16"),
        ({"nested": 1.5}, "nested = 1.5"),
        ({"kept": 9}, "kept = 9 must be 1 to 8"),
        ({"kept": 3, "nested": 0.0}, "kept = 3.*nested > 0"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(NESTED, **settings)  # type: ignore[arg-type]
