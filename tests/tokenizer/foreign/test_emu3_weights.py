"""Published tensors of the Emu3 vision tokenizer: every one is accounted for, and they compute what they do there."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from interfaces.tokenizer import encode_clip
from tests.tokenizer.foreign.emu3 import SMALL, emu3_model, published, randomize
from tests.tokenizer.models import noise_clip
from tokenizer.foreign import FOREIGN, ForeignKeysError
from tokenizer.foreign.emu3.config import Emu3TokenizerConfig
from tokenizer.foreign.emu3.weights import published_names
from tokenizer.quantize import VQConfig
from videogen.cli import main
from videogen.models import load_tokenizer
from videogen.models.compare import emu3_network

EMU3 = FOREIGN["emu3"]
CONFIGS = {
    "4 x 4 x 4": SMALL,
    "2 x 4 x 4": replace(SMALL, f_t=2, widths=(32, 64, 64), attention=(1, 2), blocks=2),
    "1 x 8 x 8": replace(SMALL, f_t=1, widths=(32, 64, 32, 32), attention=()),
}
FULL = Emu3TokenizerConfig(4, (256, 512, 512, 1024), 2, (3,), VQConfig(32768, 4, learning="gradient"))
SOME_NAMES = {
    "encoder.conv_in.weight",
    "encoder.down.1.block.0.nin_shortcut.bias",
    "encoder.down.2.downsample.conv.weight",
    "encoder.down.3.attn.1.norm.weight",
    "encoder.down.3.attn.0.proj_out.bias",
    "encoder.mid.block_1.norm1.weight",
    "encoder.mid.attn_1.q.weight",
    "encoder.norm_out.bias",
    "encoder.conv_out.weight",
    "encoder.time_conv.1.conv.conv.weight",
    "encoder.time_res_stack.1.norm2.running_var",
    "encoder.time_res_stack.0.conv1.conv.bias",
    "quant_conv.conv.weight",
    "quantize.embedding.weight",
    "post_quant_conv.conv.bias",
    "decoder.time_res_stack.0.norm1.running_mean",
    "decoder.time_conv.0.conv.conv.bias",
    "decoder.conv_in.bias",
    "decoder.mid.attn_1.norm.norm_layer.weight",
    "decoder.up.3.block.2.norm1.conv_y.weight",
    "decoder.up.3.attn.2.norm.conv_b.bias",
    "decoder.up.1.upsample.conv.weight",
    "decoder.norm_out.conv_b.weight",
    "decoder.conv_out.bias",
}


def test_names_are_the_published_ones():
    names = set(published_names(FULL).values())
    assert len(names) == 487
    assert names.issuperset(SOME_NAMES)


def test_published_tensors_give_the_configuration_and_the_weights():
    model = emu3_model(SMALL)
    source, ours = published(model), model.state_dict()
    assert EMU3.config(source, {}) == model.config
    weights = EMU3.weights(source, model.config)
    assert weights.keys() == ours.keys()
    assert all(torch.equal(weights[key], ours[key]) for key in ours)


def test_other_tensors_are_refused_by_name():
    model = emu3_model(SMALL)
    source = published(model)
    with pytest.raises(
        ForeignKeysError, match=r"unexpected tensors: encoder\.down\.0\.block\.0\.conv_shortcut\.weight"
    ):
        EMU3.weights({**source, "encoder.down.0.block.0.conv_shortcut.weight": torch.zeros(1)}, model.config)
    with pytest.raises(ForeignKeysError, match=r"unexpected tensors: visual\.scale"):
        EMU3.weights(
            {**{f"vqmodel.{name}": each for name, each in source.items()}, "visual.scale": torch.zeros(1)}, SMALL
        )
    del source["decoder.time_res_stack.0.norm2.running_mean"]
    with pytest.raises(ForeignKeysError, match=r"missing tensors: decoder\.time_res_stack\.0\.norm2\.running_mean"):
        EMU3.weights(source, model.config)
    with pytest.raises(ForeignKeysError, match=r"missing tensors: quantize\.embedding\.weight"):
        EMU3.config({}, {})
    with pytest.raises(ValueError, match="version is no option of emu3"):
        EMU3.config(source, {"version": "1.0"})


def reference(config: Emu3TokenizerConfig) -> Any:
    """The class of transformers with random weights."""
    torch.manual_seed(1)
    model = emu3_network(config, config.f_t).eval()
    randomize(model)
    return model


OWN = {
    r"\.down_block\.down\.": ".down.",
    r"\.up_block\.up\.": ".up.",
    r"\.middle_block\.": ".mid.",
    r"\.attn_norm\.": ".attn_1.norm.",
    r"\.attn_norms\.(\d)\.": r".attn.\1.norm.",
    r"\.([qkv])_proj\.": r".\1.",
    r"\.out_proj\.": ".proj_out.",
}  # from a name of transformers to one of its own code


def as_its_own_code(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in tensors.items():
        kernel = tensor[:, :, None, None] if "_proj.weight" in name else tensor
        for pattern, replacement in OWN.items():
            name = re.sub(pattern, replacement, name)
        renamed[name] = kernel.contiguous()
    return renamed


def inside_the_whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    language = {"model.text_model.norm.weight": torch.ones(8), "lm_head.weight": torch.ones(4, 8)}
    return {**{f"model.vqmodel.{name}": tensor for name, tensor in tensors.items()}, **language}


@pytest.mark.parametrize(
    ("name", "as_stored"), list(zip(CONFIGS, [as_its_own_code, dict, inside_the_whole], strict=True)), ids=list(CONFIGS)
)
@torch.no_grad()
def test_a_converted_file_computes_what_the_published_network_does(name, as_stored, tmp_path):
    config = CONFIGS[name]
    theirs = reference(config)
    save_file(as_stored(theirs.state_dict()), tmp_path / "model.safetensors")
    assert main(["convert", "emu3", str(tmp_path / "model.safetensors"), str(tmp_path / "emu3"), "--quiet"]) == 0
    ours, theirs = load_tokenizer(tmp_path / "emu3").network.double(), theirs.double()
    assert ours.config == config
    for frames in (1, 3 * config.f_t):
        clip = noise_clip(2, frames, 2 * config.f_s, config.f_s).double()
        same_both_ways(theirs, ours, clip)


def same_both_ways(theirs: Any, ours: Any, clip: Tensor) -> None:
    """Latents, codes and frames; a single frame is the image of theirs, of which they show one frame."""
    image, spec = clip.shape[2] == 1, ours.spec(*clip.shape[3:])
    given = clip[:, :, 0] if image else clip.transpose(1, 2)
    hidden_BCTHW = theirs.encode(given, torch.tensor([[*clip.shape[3:]]] * 2)).last_hidden_state.transpose(1, 2)
    expected_BTCHW = theirs.quant_conv(hidden_BCTHW).transpose(1, 2)
    expected_BTND, codes_BTHW = expected_BTCHW.flatten(3).transpose(2, 3), theirs.quantize(expected_BTCHW)
    shown = theirs.decode(codes_BTHW[:, 0]) if image else theirs.decode(codes_BTHW)
    codes = encode_clip(ours, clip)
    assert torch.equal(codes[..., 0], codes_BTHW.flatten(2))
    assert image or len(codes.unique()) > 2
    assert_close(ours.encode_latents_parallel(clip), expected_BTND)
    if not image:
        assert_close(ours.encode_latents(clip)[0], expected_BTND)
    codebook_BTND = ours.quantizer.codebook[codes[..., 0]]
    for decoded in (ours.decode_latents(codebook_BTND, spec)[0], ours.decode_latents_parallel(codebook_BTND, spec)):
        assert_close(decoded[:, :, 0] if image else decoded.transpose(1, 2), shown)


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * expected.abs().max().item())
