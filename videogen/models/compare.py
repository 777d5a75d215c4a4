"""A converted tokenizer beside the published one: the same weights in both, a small random clip through both.

One function for each kind says how the published classes are set up for a configuration of ours: those of diffusers,
and of transformers for Emu3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from tokenizer.foreign.cosmos.weights import diffusers_name
from tokenizer.foreign.emu3.weights import as_linear, transformers_name
from videogen.checkpoint_reader import read_checkpoint
from videogen.errors import CheckpointError, UsageError
from videogen.models.records import TokenizerModel

BOUND = 1e-3  # of the largest difference, over the largest value; in float32 other orders of summation give 1e-5
LATENT_FRAMES = 3


@dataclass(frozen=True)
class PublishedTokenizer:
    """The published tokenizer: latents [B, T', N, D] of a clip, and frames of latents."""

    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    tokens: Callable[[Tensor], Tensor] | None = None  # a number for each token of a clip; None: it has no quantizer


@dataclass(frozen=True)
class Comparison:
    latents: float  # the largest difference, over the largest value
    frames: float
    equal_codes: float  # share

    def __str__(self) -> str:
        parts = f"latents off by {self.latents:.1e} of the largest, frames by {self.frames:.1e}"
        return f"{parts}, {self.equal_codes:.2%} of tokens equal"

    @property
    def equal(self) -> bool:
        return max(self.latents, self.frames) <= BOUND


def check_reference(kind: str, options: Mapping[str, str]) -> None:
    """UsageError for a kind without published classes, or where their package is not installed."""
    if kind not in REFERENCES:
        known = ", ".join(REFERENCES)
        raise UsageError(f"--check: {kind} has no published classes to compare with; {known} have")
    if kind == "vidtok" and options.get("version") == "1.0":
        raise UsageError("--check: diffusers has version 1.1 of vidtok alone, and would decode 1.0 wrongly")
    if kind != "emu3" and find_spec("diffusers") is None:
        raise UsageError(f"--check compares {kind} with diffusers, which is not installed; `pip install diffusers`")


@torch.no_grad()
def compare(kind: str, source: Path, model: TokenizerModel) -> Comparison:
    """CheckpointError if the published classes do not take the weights of the source."""
    network: Any = model.network
    clip = small_clip(network, model)
    spec = network.spec(*clip.shape[3:])
    try:
        published = REFERENCES[kind](network, spec, read_checkpoint(source).tensors)
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise CheckpointError(f"{source}: the published classes do not take it: {reason}") from None
    theirs, ours = published.encode(clip), network.encode_latents_parallel(clip)
    quantizer = network.quantizer
    codes = quantizer.to_codes(quantizer.project(ours))
    if published.tokens is None:
        equal = (quantizer.to_codes(quantizer.project(theirs)) == codes).all(-1)
    else:
        factors = torch.tensor([1, *spec.codebooks[:-1]]).cumprod(0)
        equal = published.tokens(clip) == (codes * factors).sum(-1)
    latents = quantizer.to_latents(codes)
    shown = published.decode(latents)
    frames = network.decode_latents_parallel(latents, spec)
    return Comparison(difference(ours, theirs), difference(frames, shown), float(equal.float().mean()))


def small_clip(network: Any, model: TokenizerModel) -> Tensor:
    """Smooth random frames, as many as a few latent frames hold, of a few tokens."""
    side, frames = 4 * network.size_multiple, model.spec.video_frames(LATENT_FRAMES)
    coarse = torch.rand(1, network.channels, LATENT_FRAMES, 8, 8, generator=torch.Generator().manual_seed(0))
    clip = torch.nn.functional.interpolate(coarse, (frames, side, side), mode="trilinear")
    return clip * 2 - 1


def difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def cosmos(network: Any, spec: TokenSpec, tensors: Mapping[str, Tensor]) -> PublishedTokenizer:
    from diffusers.models.autoencoders import autoencoder_kl_cosmos as classes

    config, multiple = network.config, network.size_multiple
    ratio = {"spatial_compression_ratio": multiple, "temporal_compression_ratio": spec.frames_per_latent}
    channels, dim = config.latent_channels, len(config.quantizer.levels)
    encoder = classes.CosmosEncoder3d(
        3, channels, config.encoder_widths, num_resnet_blocks=config.encoder_blocks, **ratio
    )
    decoder = classes.CosmosDecoder3d(
        channels, 3, config.decoder_widths, num_resnet_blocks=config.decoder_blocks - 1, **ratio
    )
    before = classes.CosmosCausalConv3d(channels, dim, 1, padding=0)
    after = classes.CosmosCausalConv3d(dim, channels, 1, padding=0)
    whole = torch.nn.ModuleDict(
        {"encoder": encoder, "decoder": decoder, "quant_conv": before, "post_quant_conv": after}
    ).eval()
    named = {name if ".down_blocks." in name else diffusers_name(name): tensor for name, tensor in tensors.items()}
    load(whole, named)
    return PublishedTokenizer(
        lambda clip: before(encoder(clip)).flatten(3).permute(0, 2, 3, 1),
        lambda latents: decoder(after(as_grid(latents, spec))),
    )


def vidtok(network: Any, spec: TokenSpec, tensors: Mapping[str, Tensor]) -> PublishedTokenizer:
    whole = vidtok_network(network.config).eval()
    load(whole, tensors)

    def padded(clip: Tensor) -> Tensor:  # as its `forward` does, and its `encode` does not
        return torch.cat([clip[:, :, :1]] * (spec.frames_per_latent - 1) + [clip], 2)

    return PublishedTokenizer(
        lambda clip: whole.encoder(padded(clip)).flatten(3).permute(0, 2, 3, 1),
        lambda latents: whole.decode(as_grid(latents, spec)),
        lambda clip: whole.encode(padded(clip))[1].flatten(2).long(),
    )


def emu3(network: Any, spec: TokenSpec, tensors: Mapping[str, Tensor]) -> PublishedTokenizer:
    whole = emu3_network(network.config, spec.frames_per_latent).eval()
    load(whole, {transformers_name(name): as_linear(name, tensor) for name, tensor in tensors.items()})

    def encode(clip_BCTHW: Tensor) -> Tensor:  # [B, T', D, h, w]
        sizes = torch.tensor([[*clip_BCTHW.shape[3:]]] * len(clip_BCTHW))
        hidden = whole.encode(clip_BCTHW.transpose(1, 2), sizes).last_hidden_state
        latents: Tensor = whole.quant_conv(hidden.transpose(1, 2)).transpose(1, 2)
        return latents

    def decode(latents_BTND: Tensor) -> Tensor:
        codes = network.quantizer.to_codes(network.quantizer.project(latents_BTND))[..., 0]
        frames_BTCHW: Tensor = whole.decode(torch.unflatten(codes, 2, spec.groups[0].shape))
        return frames_BTCHW.transpose(1, 2)

    return PublishedTokenizer(
        lambda clip: encode(clip).flatten(3).transpose(2, 3),
        decode,
        lambda clip: whole.quantize(encode(clip)).flatten(2),
    )


def as_grid(latents_BTND: Tensor, spec: TokenSpec) -> Tensor:
    """[B, D, T, h, w]"""
    return torch.unflatten(latents_BTND.permute(0, 3, 1, 2), 3, spec.groups[0].shape)


def vidtok_network(config: Any) -> Any:
    """The published class for a configuration of ours."""
    from diffusers.models.autoencoders.autoencoder_vidtok import AutoencoderVidTok

    dim, first = config.quantizer.dim, config.widths[0]
    return AutoencoderVidTok(
        ch=first,
        ch_mult=[width // first for width in config.widths],
        z_channels=dim,
        double_z=False,
        num_res_blocks=config.blocks,
        tempo_ds=list(config.time_down),
        tempo_us=list(config.time_up),
        regularizer="fsq",
        codebook_size=8**dim,
    )


def emu3_network(config: Any, frames_per_latent: int) -> Any:
    """The published class for a configuration of ours."""
    from transformers import Emu3VQVAE, Emu3VQVAEConfig

    first, settings_of = config.widths[0], cast(Any, Emu3VQVAEConfig)
    settings = settings_of(
        codebook_size=config.quantizer.size,
        temporal_downsample_factor=frames_per_latent,
        base_channels=first,
        channel_multiplier=[width // first for width in config.widths],
        num_res_blocks=config.blocks,
        attn_resolutions=list(config.attention),
        hidden_size=config.widths[-1],
        attn_implementation="sdpa",  # the other one computes in float32 whatever the weights are
    )
    return Emu3VQVAE(settings)


def load(network: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """RuntimeError unless all that it needs is there; the rest are tensors of training, and constants."""
    known = network.state_dict()
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items() if name in known})


REFERENCES: dict[str, Callable[[Any, TokenSpec, Mapping[str, Tensor]], PublishedTokenizer]] = {
    "cosmos": cosmos,
    "emu3": emu3,
    "vidtok": vidtok,
}
