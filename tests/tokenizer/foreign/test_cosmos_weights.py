"""Published tensors to configuration and weights: every one is accounted for."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.tokenizer.foreign.cosmos import LEVELS, RATIOS, cosmos_model, published, small_cosmos
from tokenizer.foreign import FOREIGN, ForeignKeysError
from tokenizer.foreign.cosmos.weights import diffusers_name, resampling_names

COSMOS = FOREIGN["cosmos"]
BUFFERS = {
    "encoder.patcher3d.wavelets": torch.zeros(2),
    "decoder.unpatcher3d._arange": torch.zeros(2),
    "encoder.patcher3d.patch_size_buffer": torch.zeros(1),
    "quantizer._levels": torch.tensor(LEVELS, dtype=torch.int32),
    "inv_quant.quantizer._levels": torch.tensor(LEVELS, dtype=torch.int32),
    "quantizer._basis": torch.zeros(6),
    "quantizer.implicit_codebook": torch.zeros(3, 6),
}


@pytest.fixture(scope="module")
def source() -> dict[str, Tensor]:
    return published(cosmos_model(small_cosmos()))


@pytest.mark.parametrize(("f_t", "f_s"), RATIOS)
@pytest.mark.parametrize("names", ["archive", "diffusers"])
def test_a_published_tokenizer_is_read_back(f_t: int, f_s: int, names: str) -> None:
    model = cosmos_model(small_cosmos(f_t, f_s))
    tensors = published(model)
    if names == "diffusers":
        tensors = {diffusers_name(name): tensor for name, tensor in tensors.items()}
    config = COSMOS.config(tensors, {"window": "3"})
    assert config == model.config
    weights, own = COSMOS.weights(tensors | BUFFERS, config), model.state_dict()
    assert weights.keys() == own.keys()
    assert all(torch.equal(weights[name], own[name]) for name in own)


def test_names_are_the_published_ones(source: dict[str, Tensor]) -> None:
    shapes = {
        "encoder.conv_in.0.conv3d.weight": (8, 192, 1, 3, 3),
        "encoder.conv_in.1.conv3d.weight": (8, 8, 3, 1, 1),
        "encoder.down.0.block.0.norm1.norm.weight": (8,),
        "encoder.down.0.block.0.conv1.1.conv3d.weight": (12, 12, 3, 1, 1),
        "encoder.down.0.block.0.nin_shortcut.conv3d.bias": (12,),
        "encoder.down.0.downsample.conv1.conv3d.weight": (12, 12, 1, 3, 3),
        "encoder.mid.attn_1.0.q.conv3d.weight": (16, 16, 1, 1, 1),
        "encoder.mid.attn_1.1.proj_out.conv3d.bias": (16,),
        "encoder.norm_out.norm.bias": (16,),
        "quant_conv.conv3d.weight": (6, 8, 1, 1, 1),
        "post_quant_conv.conv3d.weight": (8, 6, 1, 1, 1),
        "decoder.mid.block_2.conv2.0.conv3d.weight": (16, 16, 1, 3, 3),
        "decoder.up.2.upsample.conv2.conv3d.weight": (16, 16, 1, 3, 3),
        "decoder.up.0.block.0.nin_shortcut.conv3d.weight": (12, 16, 1, 1, 1),
        "decoder.conv_out.1.conv3d.weight": (192, 192, 3, 1, 1),
    }
    assert {name: tuple(source[name].shape) for name in shapes} == shapes
    assert (
        diffusers_name("decoder.up.2.block.1.conv1.0.conv3d.weight")
        == "decoder.up_blocks.0.resnets.1.conv1.conv_s.weight"
    )


def test_a_missing_and_an_unexpected_tensor_are_errors_with_their_names(source: dict[str, Tensor]) -> None:
    config = COSMOS.config(source, {})
    without = {name: tensor for name, tensor in source.items() if name != "encoder.mid.block_1.norm2.norm.bias"}
    with pytest.raises(ForeignKeysError) as missing:
        COSMOS.weights(without, config)
    assert missing.value.missing == ("encoder.mid.block_1.norm2.norm.bias",)
    assert missing.value.unexpected == ()
    with pytest.raises(ForeignKeysError) as extra:
        COSMOS.weights(source | {"encoder.down.0.attn.0.norm.weight": torch.zeros(1)}, config)
    assert extra.value.unexpected == ("encoder.down.0.attn.0.norm.weight",)
    with pytest.raises(
        ForeignKeysError, match=r"^missing tensors: encoder\.down\.0\.block\.0\.conv1\.0\.conv3d\.weight$"
    ):
        COSMOS.config({}, {})


def test_names_in_errors_are_those_of_the_source(source: dict[str, Tensor]) -> None:
    tensors = {diffusers_name(name): tensor for name, tensor in source.items()}
    del tensors["decoder.mid_block.temp_attentions.0.to_q.bias"]
    with pytest.raises(ForeignKeysError) as caught:
        COSMOS.weights(tensors, COSMOS.config(tensors, {}))
    assert caught.value.missing == ("decoder.mid_block.temp_attentions.0.to_q.bias",)


def test_layers_of_resampling_that_a_ratio_does_not_use_are_dropped(source: dict[str, Tensor]) -> None:
    everything = {name: torch.zeros(1) for name in resampling_names(source)} | source
    with pytest.raises(ValueError, match=r"^ratio: "):
        COSMOS.config(everything, {})
    config = COSMOS.config(everything, {"ratio": "4x8x8"})
    assert config == COSMOS.config(source, {})
    assert COSMOS.weights(everything, config).keys() == COSMOS.weights(source, config).keys()
    del everything["encoder.down.1.downsample.conv2.conv3d.bias"]  # no longer all: then each has to be used
    with pytest.raises(ForeignKeysError) as caught:
        COSMOS.weights(everything, config)
    assert "encoder.down.1.downsample.conv1.conv3d.weight" in caught.value.unexpected


def test_weights_in_bfloat16_become_float32(source: dict[str, Tensor]) -> None:
    halves = {name: tensor.bfloat16() for name, tensor in source.items()}
    weights = COSMOS.weights(halves, COSMOS.config(halves, {}))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_levels_come_from_the_source_or_an_option(source: dict[str, Tensor]) -> None:
    given = {"quantizer._levels": torch.tensor([7, 5, 5, 5, 5, 5])}
    assert COSMOS.config(source | given, {}).quantizer.levels == (7, 5, 5, 5, 5, 5)  # type: ignore[union-attr]
    assert COSMOS.config(source, {"levels": "4,4,4,4,4,4"}) == replace(
        COSMOS.config(source, {}), quantizer=replace(small_cosmos().quantizer, levels=(4,) * 6)
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"ratio": "8x8x8"}, "ratio = 8x8x8: the tensors are those of 4x8x8"),
        ({"ratio": "4x8x16"}, "ratio = 4x8x16: expected"),
        ({"levels": "8,8,8"}, "levels = "),
        ({"levels": "8,x"}, "levels = x"),
        ({"window": "many"}, "window = many"),
        ({"window": "1"}, "window = 1"),
        ({"size": "8"}, "size: "),
    ],
)
def test_wrong_options_are_refused_by_name(source: dict[str, Tensor], options: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}"):
        COSMOS.config(source, options)
