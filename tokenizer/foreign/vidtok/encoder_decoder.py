"""Encoder and decoder, built from the configuration: layers by their published names, in the order of computation."""

from functools import partial

from torch import nn

from tokenizer.foreign.layers import (
    CausalResidual,
    FrameResidual,
    OneHeadAttention,
    SpaceDown,
    SpaceTimeConv,
    SpaceUp,
)
from tokenizer.foreign.vidtok.config import VidTokConfig
from tokenizer.foreign.vidtok.layers import AffineNorm, LinearTimeUp, NormSiLU, PositionConv, TimeDown, TimeUp
from tokenizer.networks.condition import decoder_sequence
from tokenizer.streaming import StreamingSequential


def make_encoder(config: VidTokConfig, latent_dim: int) -> StreamingSequential:
    return StreamingSequential(encoder_layers(config, latent_dim).values())


def make_decoder(config: VidTokConfig, latent_dim: int) -> StreamingSequential:
    """What it is given follows each block along time."""
    layers = decoder_layers(config, latent_dim)
    after = {
        number: name for number, name in enumerate(layers) if name.startswith("up_temporal.") and ".block." in name
    }
    dims = {number: config.widths[int(name.split(".")[1])] for number, name in after.items()}
    return decoder_sequence(layers.values(), config.condition, dims)


def encoder_layers(config: VidTokConfig, latent_dim: int) -> dict[str, nn.Module]:
    """Pixels to latents, from the finest level to the coarsest."""
    widths, repeats_first = config.widths, config.repeats_first
    layers: dict[str, nn.Module] = {"conv_in": SpaceTimeConv(config.channels, widths[0], repeats_first)}
    dim = widths[0]
    for level, width in enumerate(widths):
        layers |= level_layers("down", level, config.blocks, dim, width, repeats_first)
        dim = width
        if level < len(widths) - 1:
            layers[f"down.{level}.downsample"] = SpaceDown(dim)
        if level in config.time_down:
            layers[f"down_temporal.{level}.downsample"] = TimeDown(dim, repeats_first)
    layers |= middle_layers(dim, repeats_first)
    return layers | {"norm_out": NormSiLU(dim), "conv_out": SpaceTimeConv(dim, latent_dim, repeats_first)}


def decoder_layers(config: VidTokConfig, latent_dim: int) -> dict[str, nn.Module]:
    """Latents to pixels, from the coarsest level to the finest."""
    widths, repeats_first, alone = config.widths, config.repeats_first, 1
    dim = widths[-1]
    layers: dict[str, nn.Module] = {"conv_in": SpaceTimeConv(latent_dim, dim, repeats_first)}
    layers |= middle_layers(dim, repeats_first)
    for level, width in reversed(list(enumerate(widths))):
        layers |= level_layers("up", level, config.blocks + 1, dim, width, repeats_first)
        dim = width
        if level > 0:
            layers[f"up.{level}.upsample"] = SpaceUp(dim)
        if level in config.time_up:
            up = LinearTimeUp(dim, repeats_first, alone) if config.version == "1.1" else TimeUp(dim, repeats_first)
            layers[f"up_temporal.{level}.upsample"] = up
            alone *= 2
    return layers | {"norm_out": NormSiLU(dim), "conv_out": SpaceTimeConv(dim, config.channels, repeats_first)}


def level_layers(way: str, level: int, blocks: int, dim_in: int, dim: int, repeats_first: bool) -> dict[str, nn.Module]:
    """Blocks within frames, each followed by one along time."""
    layers: dict[str, nn.Module] = {}
    for number in range(blocks):
        layers[f"{way}.{level}.block.{number}"] = FrameResidual(dim if number else dim_in, dim, AffineNorm)
        along_time = CausalResidual(dim, AffineNorm, partial(PositionConv, dim, repeats_first))
        layers[f"{way}_temporal.{level}.block.{number}"] = along_time
    return layers


def middle_layers(dim: int, repeats_first: bool) -> dict[str, nn.Module]:
    make_conv = partial(SpaceTimeConv, dim, dim, repeats_first)
    first, second = (CausalResidual(dim, AffineNorm, make_conv) for _ in range(2))
    return {"mid.block_1": first, "mid.attn_1": OneHeadAttention(dim, AffineNorm), "mid.block_2": second}
