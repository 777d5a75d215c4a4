"""Every layout keeps the laws of tokenizers, whichever quantizer it has."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from einops import rearrange

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip, small_config, small_factorized
from tokenizer.laws import check, influence
from tokenizer.networks.blocks import FrameBlock, ResidualBlock, TimeBlock
from tokenizer.networks.coding import Coding
from tokenizer.networks.kinds import TokenizerConfig, make_tokenizer
from tokenizer.networks.latent import DECODER_WEIGHTS, LatentTokenizer
from tokenizer.networks.layouts import (
    CoarseFineConfig,
    GridConfig,
    KeyframesConfig,
    LayoutConfig,
    LineConfig,
    PyramidConfig,
)
from tokenizer.networks.pictures import PictureEncoderConfig
from tokenizer.quantize import ContinuousConfig, ProductConfig, QuantizerConfig, ResidualConfig, VQConfig

LAYOUTS: dict[str, LayoutConfig] = {
    "grid": GridConfig(),
    "merged": GridConfig(merge=2),
    "coarse_fine": CoarseFineConfig(width=16),
    "coarse_fine_shared": CoarseFineConfig(width=16, factor=4, blocks=0, shared=True),
    "keyframes": KeyframesConfig(width=16, pictures=PictureEncoderConfig(width=8)),
    "keyframes_shared": KeyframesConfig(
        16, PictureEncoderConfig(8, (0, 0)), key_factor=2, motion_factor=4, shared=True
    ),
    "pyramid": PyramidConfig(scales=(4, 2, 1)),
    "pyramid_own": PyramidConfig(scales=(2, 1), shared=False),
    "line": LineConfig(tokens=6, width=16, heads=2, blocks=1, decoder_blocks=1),
    "line_nested": LineConfig(tokens=8, width=16, heads=1, blocks=2, decoder_blocks=0, nested=0.5),
    "line_kept": LineConfig(tokens=8, width=16, heads=4, blocks=1, decoder_blocks=1, nested=1.0, kept=3),
}
QUANTIZERS: dict[str, QuantizerConfig] = {
    "fsq": FSQ_1000,
    "vq": VQConfig(size=64, dim=4),
    "residual": ResidualConfig(quantizer=VQConfig(size=16, dim=4), depth=2),
    "continuous": ContinuousConfig(dim=4),
    "kl": ContinuousConfig(dim=4, kl_weight=1e-3),
}
COMBINATIONS = [
    *((layout, "fsq", "cnn") for layout in LAYOUTS),
    ("coarse_fine", "vq", "cnn"),
    ("pyramid", "residual", "cnn"),
    ("grid", "continuous", "cnn"),
    *((layout, "kl", "cnn") for layout in ("grid", "merged", "coarse_fine", "line")),
    *((layout, "fsq", "factorized") for layout in ("grid", "keyframes", "line")),
]


KINDS: dict[str, Callable[..., TokenizerConfig]] = {"cnn": small_config, "factorized": small_factorized}


def tokenizer_of(
    layout: LayoutConfig, quantizer: QuantizerConfig = FSQ_1000, kind: str = "cnn", **settings: Any
) -> LatentTokenizer:
    """Random weights, the branches as strong as the path around them."""
    torch.manual_seed(0)
    model = make_tokenizer(replace(KINDS[kind](quantizer=quantizer, **settings), layout=layout)).eval()
    for layer in model.modules():
        if isinstance(layer, (ResidualBlock, TimeBlock)):
            layer.time.conv.weight.data.mul_(10)
        if isinstance(layer, FrameBlock):
            layer.out.conv.weight.data.mul_(10)
    return model


@pytest.mark.parametrize(("layout", "quantizer", "kind"), COMBINATIONS)
def test_the_laws_of_tokenizers_hold(layout: str, quantizer: str, kind: str) -> None:
    model = tokenizer_of(LAYOUTS[layout], QUANTIZERS[quantizer], kind)
    verdicts = list(check(model, noise_clip(2, 9, 32, 64), [[1, 2, 3], [4, 0, 5]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []


@pytest.mark.parametrize(("layout", "quantizer", "kind"), COMBINATIONS)
def test_every_weight_learns(layout: str, quantizer: str, kind: str) -> None:
    model = tokenizer_of(LAYOUTS[layout], QUANTIZERS[quantizer], kind).train()
    out = model(noise_clip(2, 9, 32, 32))
    (out.clip.square().mean() + sum(out.losses.values())).backward()
    assert [name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_of_the_decoder_decide_no_codes(layout: str) -> None:
    model, clip = tokenizer_of(LAYOUTS[layout]), noise_clip(1, 5, 32, 32)
    codes = encode_clip(model, clip)
    for name, weights in model.named_parameters():
        if name.startswith(DECODER_WEIGHTS):
            weights.data.normal_()
    assert torch.equal(encode_clip(model, clip), codes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_its_configuration_says_what_sizes_it_takes(layout: str) -> None:
    model = tokenizer_of(LAYOUTS[layout])
    multiple = model.size_multiple
    spec = model.spec(multiple, 2 * multiple)
    pixels, _ = model.decode(spec.empty(1, 2), spec)
    assert pixels.shape == (1, 3, 5, multiple, 2 * multiple)
    with pytest.raises(ValueError, match=f"multiples of {multiple}"):
        model.spec(multiple + 4, multiple)


def test_merged_tokens_are_those_of_the_plain_grid_side_by_side() -> None:
    """With one codebook for all positions, the same weights make the same codes and pixels."""
    plain = tokenizer_of(GridConfig())
    product = ProductConfig(quantizer=FSQ_1000, dim=16, groups=4, shared=True)
    merged = tokenizer_of(GridConfig(merge=2), product)
    merged.load_state_dict(plain.state_dict())
    clip = noise_clip(1, 9, 32, 48)
    codes, own = encode_clip(merged, clip), encode_clip(plain, clip)
    pattern = "b t (h p w q) k -> b t (h w) (p q k)"
    assert torch.equal(codes, rearrange(own, pattern, h=2, p=2, q=2, k=4))
    assert torch.equal(merged.decode(codes, merged.spec(32, 48))[0], plain.decode(own, plain.spec(32, 48))[0])


def test_a_coarse_grid_comes_before_the_fine_one_that_is_told_its_codes() -> None:
    model = tokenizer_of(CoarseFineConfig(width=16))
    assert [(group.name, group.shape) for group in model.spec(32, 64).groups] == [("coarse", (2, 4)), ("fine", (4, 8))]
    clip, given = noise_clip(1, 1, 32, 32), torch.zeros(())
    seen: list[torch.Tensor] = []

    def quantize(group: int, latents: torch.Tensor) -> torch.Tensor:
        seen.append(latents)
        return torch.ones_like(latents) * given

    for value in (0.0, 1.0):
        given = torch.tensor(value)
        model.layout.encode(model._features_parallel(clip), quantize)
    coarse, fine, coarse_again, fine_again = seen
    assert torch.equal(coarse, coarse_again)
    assert not torch.equal(fine, fine_again)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [True, False])
def test_key_tokens_depend_on_their_picture_alone(kind: str, causal: bool) -> None:
    model = tokenizer_of(LAYOUTS["keyframes"], kind=kind, causal=causal)
    assert [(group.name, group.shape) for group in model.spec(32, 64).groups] == [("key", (4, 8)), ("motion", (2, 4))]
    clip = noise_clip(1, 9, 32, 32).requires_grad_()
    key = model.encode_latents_parallel(clip)[:, :, :16]
    for latent_frame, own in enumerate((0, 4, 8)):
        assert influence(key[:, latent_frame], clip, keep=2).nonzero().flatten().tolist() == [own]
    image, _ = model.encode(clip[:, :, 4:5])
    codes = encode_clip(model, clip.detach())
    if causal:
        assert torch.equal(codes[:, 1:2, :16], image[:, :, :16])


def test_motion_tokens_are_told_the_codes_of_the_key_and_what_happened_before() -> None:
    model, clip = tokenizer_of(LAYOUTS["keyframes"]), noise_clip(1, 5, 32, 32).requires_grad_()
    coding = Coding(model.quantizer)
    model.layout.encode(model._features_parallel(clip), coding)
    assert influence(coding.latents[:, 1, 16:], clip, keep=2).all()
    given: list[torch.Tensor] = []
    for value in (0.0, 1.0):
        model.layout.encode(
            model._features_parallel(clip), lambda group, latents, v=value: given.append(latents) or latents * 0 + v
        )
    key, motion, key_again, motion_again = given
    assert torch.equal(key, key_again)
    assert not torch.equal(motion, motion_again)


def test_scales_of_a_pyramid_add_up_to_the_features() -> None:
    """With latents that are not quantized, the last scale has nothing left over but what smoothing changed."""
    model = tokenizer_of(PyramidConfig(scales=(4, 2, 1)))
    for layer in model.layout.smooth:  # type: ignore[union-attr]
        torch.nn.init.zeros_(layer.conv.weight)
    features, kept = torch.randn(1, 2, 4, 4, model.layout.in_dim), []

    def keep(group: int, latents: torch.Tensor) -> torch.Tensor:
        kept.append(latents)
        return latents

    model.layout.encode(features, keep)
    assert [each.shape[2] for each in kept] == [1, 4, 16]
    torch.testing.assert_close(kept[0][:, :, 0], features.mean((2, 3)))
    torch.testing.assert_close(model.layout.decode(torch.cat(kept, 2), (4, 4)), features)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CoarseFineConfig(width=0), "width = 0"),
        (lambda: CoarseFineConfig(width=8, factor=1), "factor = 1"),
        (lambda: GridConfig(merge=0), "merge = 0"),
        (lambda: replace(small_config(), layout=GridConfig(merge=4)), "merge = 4"),
        (lambda: KeyframesConfig(0, PictureEncoderConfig(8)), "width = 0"),
        (lambda: KeyframesConfig(8, PictureEncoderConfig(8), motion_factor=0), "motion_factor = 0"),
        (lambda: KeyframesConfig(8, PictureEncoderConfig(8), key_factor=2, motion_factor=3), "motion_factor = 3"),
        (lambda: PictureEncoderConfig(width=7), "width = 7"),
        (lambda: PictureEncoderConfig(width=8, blocks=(1, -1)), r"blocks = \(1, -1\)"),
        (lambda: PyramidConfig(scales=(4, 2)), r"scales = \(4, 2\)"),
        (lambda: PyramidConfig(scales=(2, 4, 1)), r"scales = \(2, 4, 1\)"),
    ],
)
def test_wrong_settings_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if not name.startswith("line")])
def test_specs_of_two_frame_sizes_differ_in_sizes_alone(layout: str) -> None:
    model = make_tokenizer(replace(small_config(quantizer=FSQ_1000), layout=LAYOUTS[layout]))
    assert model.spec(64, 64).same_kind(model.spec(96, 64))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_on_frozen_codes_makes_those_of_encode_in_bfloat16_too(layout: str) -> None:
    torch.manual_seed(0)
    model = make_tokenizer(replace(small_config(quantizer=FSQ_1000), layout=LAYOUTS[layout])).requires_grad_(False)
    clip = noise_clip(1, 9, 64, 96)
    with torch.autocast("cpu", torch.bfloat16):
        codes = model(clip).codes
    assert torch.equal(codes, encode_clip(model, clip))
