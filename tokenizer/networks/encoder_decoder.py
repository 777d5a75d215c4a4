"""Encoder and decoder, put together from the config.

A linear path leads from the patches to the latents and from the latents to the patches; norms and nonlinearities sit in
the residual branches only. Brightness passes unnormalised, and training begins as a principal component analysis does.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from tokenizer.networks.blocks import FrameAttention, ResidualBlock
from tokenizer.networks.config import TokenizerConfig
from tokenizer.networks.convolution import Down, FrameConv, Up
from tokenizer.networks.patchify import HaarFrontEnd, PatchFrontEnd
from tokenizer.streaming import Stack


def make_front_end(config: TokenizerConfig) -> PatchFrontEnd:
    kind = HaarFrontEnd if config.front == "haar" else PatchFrontEnd
    return kind(config.front_t, config.front_s)


def make_encoder(config: TokenizerConfig, latent_dim: int) -> Stack:
    """Patches to latents, from the finest level to the coarsest."""
    widths, blocks = config.encoder_widths, config.encoder_blocks
    layers: list[nn.Module] = [FrameConv(patch_dim(config), widths[0], 3)]
    for i in range(config.levels):
        if i > 0:
            layers.append(Down(widths[i - 1], widths[i], config.time_factors[i - 1], 2))
        layers += level(widths[i], blocks[i], config, coarsest=i == config.levels - 1)
    return Stack([*layers, FrameConv(widths[-1], latent_dim, 1)])


def make_decoder(config: TokenizerConfig, latent_dim: int) -> Stack:
    """Latents to patches, from the coarsest level to the finest."""
    widths = config.decoder_widths
    make: dict[str, Callable[[int], nn.Module]] = {
        "first": lambda i: FrameConv(latent_dim, widths[i], 3),
        "block": lambda i: ResidualBlock(widths[i], config.kernel_t),
        "attention": lambda i: FrameAttention(widths[i]),
        "up": lambda i: Up(widths[i], widths[i - 1], config.time_factors[i - 1], 2),
        "last": lambda i: FrameConv(widths[i], patch_dim(config), 3),
    }
    return Stack([make[layer.kind](layer.level) for layer in decoder_layers(config)])


class Layer(NamedTuple):
    """What a layer of the decoder is; this stays when a level gets more blocks, its place does not."""

    kind: str
    level: int
    number: int = 0  # of a block in its level


def decoder_layers(config: TokenizerConfig) -> list[Layer]:
    """In order."""
    coarsest = config.levels - 1
    layers = [Layer("first", coarsest)]
    for i in reversed(range(config.levels)):
        layers += [Layer("block", i, number) for number in range(config.decoder_blocks[i])]
        layers += [Layer("attention", i)] if i == coarsest and config.attention else []
        layers += [Layer("up", i)] if i > 0 else []
    return [*layers, Layer("last", 0)]


def level(dim: int, blocks: int, config: TokenizerConfig, coarsest: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [ResidualBlock(dim, config.kernel_t) for _ in range(blocks)]
    return [*layers, FrameAttention(dim)] if coarsest and config.attention else layers


def patch_dim(config: TokenizerConfig) -> int:
    return config.channels * config.front_t * config.front_s**2
