"""Published tensors of VidTok: every one is accounted for, and they compute what the published classes compute.

The classes are those of diffusers, which has version 1.1 alone. Version 1.0 is made of them by other padding in time
and by repeating frames.
"""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from interfaces.foreign import OtherModelError
from interfaces.tokenizer import encode_clip
from tests.tokenizer.foreign.test_vidtok import DEEP, EIGHT, SMALL, model_of
from tokenizer.foreign import FOREIGN, ForeignKeysError
from tokenizer.foreign.vidtok.config import VidTokConfig
from tokenizer.foreign.vidtok.weights import published_names
from tokenizer.quantize import RoundedFSQConfig
from videogen.models.compare import vidtok_network

FOUR = RoundedFSQConfig((8,) * 4)
CONFIGS = {
    "4 x 4 x 4": replace(SMALL, quantizer=FOUR),
    "4 x 16 x 16": replace(DEEP, quantizer=FOUR),
    "8 x 8 x 8": replace(EIGHT, version="1.1", blocks=2, quantizer=FOUR),
}
FULL = VidTokConfig("1.0", (128, 256, 512, 512), 2, (1, 2), (1, 2), RoundedFSQConfig((8,) * 6))
VIDTOK = FOREIGN["vidtok"]
SOME_NAMES = {
    "encoder.conv_in.conv.weight",
    "encoder.down.1.block.0.nin_shortcut.bias",
    "encoder.down.2.downsample.conv.weight",
    "encoder.down_temporal.3.block.1.norm2.norm.bias",
    "encoder.down_temporal.1.downsample.mix_factor",
    "encoder.down_temporal.2.downsample.conv.conv.bias",
    "encoder.mid.block_1.conv2.conv.weight",
    "encoder.mid.attn_1.norm.norm.weight",
    "encoder.mid.attn_1.proj_out.conv.weight",
    "encoder.norm_out.norm.bias",
    "decoder.up.0.block.2.conv1.weight",
    "decoder.up.3.upsample.conv.bias",
    "decoder.up_temporal.0.block.2.conv1.conv.weight",
    "decoder.up_temporal.2.upsample.conv.conv.weight",
    "decoder.conv_out.conv.bias",
}


def published(model):
    """The weights of our network as they are published: with kernels of 1, 2 and 3 dimensions."""
    ours, source = model.state_dict(), {}
    for name, theirs in published_names(model.config).items():
        weights = ours[name]
        if weights.ndim == 4 and "_temporal" in theirs and ".block." in theirs:
            weights = weights.squeeze(-1)
        elif weights.ndim == 4 and ".down." not in theirs and ".up." not in theirs:
            taps = 3 if weights.shape[-1] == 3 else 1
            weights = weights.unflatten(1, (taps, -1)).transpose(1, 2)
        source[theirs] = weights
    return source


@pytest.mark.parametrize("name", CONFIGS)
def test_published_tensors_give_the_configuration_and_the_weights(name):
    model = model_of(CONFIGS[name])
    source = {**published(model), "loss.discriminator.main.0.weight": torch.zeros(1), "loss.logvar": torch.zeros(1)}
    assert VIDTOK.config(source, {"version": model.config.version}) == model.config
    weights, ours = VIDTOK.weights(source, model.config), model.state_dict()
    assert weights.keys() == ours.keys()
    assert all(torch.equal(weights[key], ours[key]) for key in ours)


def test_names_are_the_published_ones():
    names = set(published_names(FULL).values())
    assert len(names) == 416
    assert names.issuperset(SOME_NAMES)


def test_other_tensors_are_refused_by_name():
    model = model_of(CONFIGS["4 x 4 x 4"])
    source, options = published(model), {"version": "1.0"}
    with pytest.raises(ForeignKeysError, match=r"unexpected tensors: model_ema\.decay"):
        VIDTOK.weights({**source, "model_ema.decay": torch.zeros(1)}, model.config)
    lost = source.pop("decoder.up_temporal.1.block.0.norm1.norm.bias")
    with pytest.raises(
        ForeignKeysError, match=r"missing tensors: decoder\.up_temporal\.1\.block\.0\.norm1\.norm\.bias"
    ):
        VIDTOK.weights({**source, "decoder.up_temporal.1.block.0.norm1.bias": lost}, model.config)
    source["encoder.conv_in.weight"] = source.pop("encoder.conv_in.conv.weight")  # as of weights that are not causal
    with pytest.raises(ForeignKeysError, match=r"missing tensors: encoder\.conv_in\.conv\.weight"):
        VIDTOK.config(source, options)


def test_options_and_continuous_weights_are_checked():
    source = published(model_of(CONFIGS["4 x 4 x 4"]))
    for options, message in (
        ({}, "version is missing: say 1.0 or 1.1"),
        ({"version": "1"}, "version is '1'"),
        ({"version": "1.0", "levels": "8"}, "levels is no option of vidtok"),
    ):
        with pytest.raises(ValueError, match=message):
            VIDTOK.config(source, options)
    source["encoder.conv_out.conv.weight"] = torch.zeros(8, 16, 3, 3, 3)
    with pytest.raises(OtherModelError, match="continuous tokens"):
        VIDTOK.config(source, {"version": "1.0"})


class DoubleTorch:
    """torch, with float64 for float32: interpolation of the reference rounds to float32."""

    def __getattr__(self, name):
        return getattr(torch, "float64" if name == "float32" else name)


def reference(config, monkeypatch):
    """The published classes with random weights, in float64."""
    vidtok = pytest.importorskip("diffusers.models.autoencoders.autoencoder_vidtok")
    monkeypatch.setattr(vidtok, "torch", DoubleTorch())
    torch.manual_seed(1)
    model = vidtok_network(config)
    for weights in model.parameters():
        random = torch.randn_like(weights)
        weights.data = random * weights[0].numel() ** -0.5 if weights.ndim > 1 else weights.data + 0.2 * random
    model.encoder.conv_out.conv.weight.data.mul_(3)  # latents then reach all levels
    if config.version == "1.0":
        monkeypatch.setattr(vidtok.VidTokCausalConv1d, "forward", zero_padded)
        monkeypatch.setattr(vidtok.VidTokCausalConv3d, "forward", zero_padded)
        monkeypatch.setattr(vidtok.VidTokDownsample3D, "forward", zero_padded_down)
        for layer in model.modules():
            if isinstance(layer, vidtok.VidTokUpsample3D):
                layer.enable_cached, layer.interpolation_mode = False, "nearest"
    return model.double().eval()


def zero_padded(layer, x):
    space = layer.spatial_padding[:4] if x.ndim == 5 else ()
    return layer.conv(F.pad(x, (*space, layer.time_pad, 0)))


def zero_padded_down(layer, x):
    share = torch.sigmoid(layer.mix_factor)
    return share * layer.avg_pool(F.pad(x, (0, 0, 0, 0, 1, 0))) + (1 - share) * layer.conv(x)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_the_network_computes_what_the_published_one_does(name, version, monkeypatch):
    config = replace(CONFIGS[name], version=version)
    if name == "4 x 4 x 4":
        config = replace(config, widths=(8, 16, 16))
    theirs = reference(config, monkeypatch)
    source = theirs.state_dict()
    assert VIDTOK.config(source, {"version": version}) == config
    ours = model_of(config).double()
    ours.load_state_dict(VIDTOK.weights(source, config))
    clip = torch.rand(2, 3, 1 + 3 * config.f_t, config.f_s, 2 * config.f_s, dtype=torch.float64) * 2 - 1
    spec = ours.spec(*clip.shape[3:])
    padded = torch.cat([clip[:, :, :1]] * (config.f_t - 1) + [clip], 2)
    latents = ours.encode_latents_parallel(clip)
    torch.testing.assert_close(latents, theirs.encoder(padded).flatten(3).permute(0, 2, 3, 1), rtol=0, atol=1e-13)
    quantized, numbers = theirs.encode(padded)
    codes, powers = encode_clip(ours, clip), 8 ** torch.arange(config.quantizer.dim)
    assert torch.equal((codes * powers).sum(-1), numbers.flatten(2).long())
    assert len(numbers.unique()) > 4
    decoded = ours.decode_latents_parallel(ours.quantizer.to_latents(codes).double(), spec)
    torch.testing.assert_close(decoded, theirs.decode(quantized), rtol=0, atol=1e-13)
    assert decoded.std() > 0.01
