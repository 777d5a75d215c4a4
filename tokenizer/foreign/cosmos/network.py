"""Encoder and decoder as lists of layers under their published names."""

from typing import NamedTuple

from torch import nn

from tokenizer.foreign.cosmos.attention import CosmosFrameAttention, CosmosTimeAttention
from tokenizer.foreign.cosmos.config import LEVELS, CosmosTokenizerConfig
from tokenizer.foreign.cosmos.layers import CosmosBlock, CosmosDownsample, CosmosUpsample, WholeFrameNorm
from tokenizer.foreign.cosmos.walsh import WalshPatchify
from tokenizer.networks.condition import decoder_sequence
from tokenizer.networks.convolution import FrameConv, TimeConv
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.streaming import StreamingSequential


class NamedLayer(NamedTuple):
    name: str  # that its weights are published under; empty for a layer without weights
    layer: nn.Module


class CosmosTokenizer(LatentTokenizer):
    config: CosmosTokenizerConfig

    def __init__(self, config: CosmosTokenizerConfig):
        super().__init__(config, WalshPatchify(), make_encoder, make_decoder)


def make_encoder(config: CosmosTokenizerConfig, feature_dim: int) -> StreamingSequential:
    """Patches to features."""
    return StreamingSequential(layer for _, layer in encoder_layers(config, feature_dim))


def make_decoder(config: CosmosTokenizerConfig, feature_dim: int) -> StreamingSequential:
    """Features to patches; what it is given follows each residual block."""
    layers = [layer for _, layer in decoder_layers(config, feature_dim)]
    dims = {i: layer.norm2.weight.numel() for i, layer in enumerate(layers) if isinstance(layer, CosmosBlock)}
    return decoder_sequence(layers, config.condition, dims)


def encoder_layers(config: CosmosTokenizerConfig, feature_dim: int) -> list[NamedLayer]:
    widths = config.encoder_widths
    layers = separable("encoder.conv_in", config.patch_dim, widths[0])
    for level in range(LEVELS):
        layers += blocks(f"encoder.down.{level}", config.encoder_blocks, widths[level], widths[level + 1])
        if level < LEVELS - 1 and config.encoder_steps[level] != (1, 1):
            sample = CosmosDownsample(widths[level + 1], *config.encoder_steps[level])
            layers.append(NamedLayer(f"encoder.down.{level}.downsample", sample))
    layers += [*middle("encoder", widths[-1], config.window), *last("encoder", widths[-1], config.latent_channels)]
    return [*layers, NamedLayer("quant_conv", FrameConv(config.latent_channels, feature_dim, 1))]


def decoder_layers(config: CosmosTokenizerConfig, feature_dim: int) -> list[NamedLayer]:
    """Published levels of the decoder count from the finest too."""
    widths = config.decoder_widths
    layers = [NamedLayer("post_quant_conv", FrameConv(feature_dim, config.latent_channels, 1))]
    layers += separable("decoder.conv_in", config.latent_channels, widths[-1])
    layers += middle("decoder", widths[-1], config.window)
    for step, level in enumerate(reversed(range(LEVELS))):
        layers += blocks(f"decoder.up.{level}", config.decoder_blocks, widths[level + 1], widths[level])
        if level > 0 and config.decoder_steps[step] != (1, 1):
            sample = CosmosUpsample(widths[level], *config.decoder_steps[step])
            layers.append(NamedLayer(f"decoder.up.{level}.upsample", sample))
    return [*layers, *last("decoder", widths[0], config.patch_dim)]


def separable(name: str, dim_in: int, dim_out: int) -> list[NamedLayer]:
    space, time = FrameConv(dim_in, dim_out, 3), TimeConv(dim_out, dim_out, 3)
    return [NamedLayer(f"{name}.0", space), NamedLayer(f"{name}.1", time)]


def blocks(name: str, count: int, dim_in: int, dim_out: int) -> list[NamedLayer]:
    dims = (dim_in, *(dim_out,) * count)
    return [NamedLayer(f"{name}.block.{i}", CosmosBlock(dims[i], dim_out)) for i in range(count)]


def middle(name: str, dim: int, window: int) -> list[NamedLayer]:
    return [
        NamedLayer(f"{name}.mid.block_1", CosmosBlock(dim, dim)),
        NamedLayer(f"{name}.mid.attn_1.0", CosmosFrameAttention(dim)),
        NamedLayer(f"{name}.mid.attn_1.1", CosmosTimeAttention(dim, window)),
        NamedLayer(f"{name}.mid.block_2", CosmosBlock(dim, dim)),
    ]


def last(name: str, dim_in: int, dim_out: int) -> list[NamedLayer]:
    norm = NamedLayer(f"{name}.norm_out", WholeFrameNorm(dim_in))
    return [norm, NamedLayer("", nn.SiLU()), *separable(f"{name}.conv_out", dim_in, dim_out)]
