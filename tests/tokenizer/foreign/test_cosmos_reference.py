"""Equality with the same networks in diffusers, in float64, with random weights."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tokenizer.foreign.cosmos import LEVELS, RATIOS
from tests.tokenizer.models import noise_clip
from tokenizer.foreign import FOREIGN
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.latent import LatentTokenizer

reference = pytest.importorskip("diffusers.models.autoencoders.autoencoder_kl_cosmos", reason="needs diffusers")

ENCODER, DECODER = (8, 12, 16, 16), (12, 16, 16, 20)


class Reference(nn.Module):
    """Encoder and decoder with the linear layers beside the quantizer."""

    def __init__(self, f_t: int, f_s: int):
        super().__init__()
        ratio = {"spatial_compression_ratio": f_s, "temporal_compression_ratio": f_t, "num_resnet_blocks": 2}
        self.encoder = reference.CosmosEncoder3d(3, 8, ENCODER, **ratio)
        self.decoder = reference.CosmosDecoder3d(8, 3, DECODER, **ratio)
        self.quant_conv = reference.CosmosCausalConv3d(8, len(LEVELS), 1, padding=0)
        self.post_quant_conv = reference.CosmosCausalConv3d(len(LEVELS), 8, 1, padding=0)


def both(f_t: int, f_s: int, window: int = 32) -> tuple[Reference, LatentTokenizer]:
    torch.manual_seed(0)
    theirs = Reference(f_t, f_s).double().eval()
    for patch in (theirs.encoder.patch_embed, theirs.decoder.unpatch_embed):
        patch.wavelets = torch.full((2,), 0.5, dtype=torch.float64).sqrt()  # float32 would be the only difference
    for weights in theirs.parameters():
        nn.init.normal_(weights, std=0.3 if weights.ndim == 1 else 1.5 * weights[0].numel() ** -0.5)
    source = theirs.state_dict()
    foreign = FOREIGN["cosmos"]
    config = foreign.config(source, {"window": str(window)})
    ours = make_tokenizer(config).double().eval()
    ours.load_state_dict(foreign.weights(source, config))
    return theirs, ours


@pytest.mark.parametrize(("f_t", "f_s"), RATIOS)
@pytest.mark.parametrize("latent_frames", [1, 4])
@torch.no_grad()
def test_encoder_and_decoder_are_those_of_the_reference(f_t: int, f_s: int, latent_frames: int) -> None:
    theirs, ours = both(f_t, f_s)
    clip = noise_clip(2, 1 + f_t * (latent_frames - 1), 16, 32).double()
    expected_BDTHW = theirs.quant_conv(theirs.encoder(clip))
    assert expected_BDTHW.std() > 0.1
    for latents_BTND in (ours.encode_latents_parallel(clip), ours.encode_latents(clip)[0]):
        assert_close(latents_BTND, expected_BDTHW.flatten(3).permute(0, 2, 3, 1))
    expected_clip = theirs.decoder(theirs.post_quant_conv(expected_BDTHW))
    assert expected_clip.std() > 0.1
    spec, given_BTND = ours.spec(16, 32), expected_BDTHW.flatten(3).permute(0, 2, 3, 1)
    for decoded in (ours.decode_latents_parallel(given_BTND, spec), ours.decode_latents(given_BTND, spec)[0]):
        assert_close(decoded, expected_clip)


@torch.no_grad()
def test_a_window_changes_nothing_until_it_is_full() -> None:
    theirs, ours = both(4, 8, window=3)
    clip = noise_clip(1, 17, 16, 16).double()
    latents, _ = ours.encode_latents(clip)
    expected = theirs.quant_conv(theirs.encoder(clip)).flatten(3).permute(0, 2, 3, 1)
    assert_close(latents[:, :3], expected[:, :3])
    assert (latents[:, 3:] - expected[:, 3:]).abs().amax((0, 2, 3)).min() > 1e-4


@pytest.mark.parametrize(("f_t", "f_s"), RATIOS)
def test_the_configuration_is_read_from_shapes(f_t: int, f_s: int) -> None:
    config: Any = both(f_t, f_s)[1].config
    assert (config.f_t, config.f_s, config.channels, config.latent_channels) == (f_t, f_s, 3, 8)
    assert (config.encoder_widths, config.encoder_blocks) == (ENCODER, 2)
    assert (config.decoder_widths, config.decoder_blocks) == (DECODER, 3)
    assert config.quantizer.levels == LEVELS


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-11 * theirs.abs().max()
