"""Encoder and decoder, put together from the config.

A linear path leads from the patches to the latents and from the latents to the patches; norms and nonlinearities sit in
the residual branches only. Brightness passes unnormalised, and training begins as a principal component analysis does.
"""

from torch import nn

from tokenizer.blocks import FrameAttention, ResidualBlock
from tokenizer.config import TokenizerConfig
from tokenizer.convolution import Down, FrameConv, Up
from tokenizer.frontend import HaarFrontEnd, PatchFrontEnd
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
    widths, blocks = config.decoder_widths, config.decoder_blocks
    layers: list[nn.Module] = [FrameConv(latent_dim, widths[-1], 3)]
    for i in reversed(range(config.levels)):
        layers += level(widths[i], blocks[i], config, coarsest=i == config.levels - 1)
        if i > 0:
            layers.append(Up(widths[i], widths[i - 1], config.time_factors[i - 1], 2))
    return Stack([*layers, FrameConv(widths[0], patch_dim(config), 3)])


def level(dim: int, blocks: int, config: TokenizerConfig, coarsest: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [ResidualBlock(dim, config.kernel_t) for _ in range(blocks)]
    return [*layers, FrameAttention(dim)] if coarsest and config.attention else layers


def patch_dim(config: TokenizerConfig) -> int:
    return config.channels * config.front_t * config.front_s**2
