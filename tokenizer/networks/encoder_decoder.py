"""Encoder and decoder, built from the configuration.

Patches and latents are connected by a linear path; norms and nonlinearities are in the residual branches only. So
brightness is not normalized away, and training starts like a principal component analysis.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from tokenizer.networks.blocks import FrameAttention, make_block
from tokenizer.networks.condition import decoder_sequence
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.convolution import Downsample, FrameConv, Upsample
from tokenizer.networks.patchify import HaarPatchify, Patchify
from tokenizer.streaming import StreamingSequential


def make_patchify(config: CNNTokenizerConfig) -> Patchify:
    kind = HaarPatchify if config.front == "haar" else Patchify
    return kind(config.front_t, config.front_s)


def make_encoder(config: CNNTokenizerConfig, latent_dim: int) -> StreamingSequential:
    """Patches to latents, from the finest level to the coarsest."""
    widths, blocks = config.encoder_widths, config.encoder_blocks
    layers: list[nn.Module] = [FrameConv(patch_dim(config), widths[0], 3)]
    for i in range(config.levels):
        if i > 0:
            layers.append(Downsample(widths[i - 1], widths[i], config.time_factors[i - 1], 2))
        layers += level_layers(widths[i], blocks[i], config, coarsest=i == config.levels - 1)
    return StreamingSequential([*layers, FrameConv(widths[-1], latent_dim, 1)])


def make_decoder(config: CNNTokenizerConfig, latent_dim: int) -> StreamingSequential:
    """Latents to patches, from the coarsest level to the finest; what it is given follows each residual block."""
    widths = config.decoder_widths
    make: dict[str, Callable[[int], nn.Module]] = {
        "first": lambda i: FrameConv(latent_dim, widths[i], 3),
        "block": lambda i: make_block(widths[i], config.kernel_t, config.causal),
        "attention": lambda i: FrameAttention(widths[i]),
        "up": lambda i: Upsample(widths[i], widths[i - 1], config.time_factors[i - 1], 2),
        "last": lambda i: FrameConv(widths[i], patch_dim(config), 3),
    }
    places = decoder_layers(config)
    dims = {number: widths[layer.level] for number, layer in enumerate(places) if layer.kind == "block"}
    return decoder_sequence([make[layer.kind](layer.level) for layer in places], config.condition, dims)


class DecoderLayer(NamedTuple):
    """What a decoder layer is, independent of its index: more blocks in a level shift the layers after them."""

    kind: str
    level: int
    number: int = 0  # of a block within its level


def decoder_layers(config: CNNTokenizerConfig) -> list[DecoderLayer]:
    """The layers of the decoder, in order."""
    coarsest = config.levels - 1
    layers = [DecoderLayer("first", coarsest)]
    for i in reversed(range(config.levels)):
        layers += [DecoderLayer("block", i, number) for number in range(config.decoder_blocks[i])]
        layers += [DecoderLayer("attention", i)] if i == coarsest and config.attention else []
        layers += [DecoderLayer("up", i)] if i > 0 else []
    return [*layers, DecoderLayer("last", 0)]


def level_layers(dim: int, blocks: int, config: CNNTokenizerConfig, coarsest: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [make_block(dim, config.kernel_t, config.causal) for _ in range(blocks)]
    return [*layers, FrameAttention(dim)] if coarsest and config.attention else layers


def patch_dim(config: CNNTokenizerConfig) -> int:
    return config.channels * config.front_t * config.front_s**2
