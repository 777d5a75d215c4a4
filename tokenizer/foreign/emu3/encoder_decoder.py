"""Encoder and decoder, built from the configuration: layers by their published names, in the order of computation."""

from collections.abc import Callable
from functools import partial

from torch import nn

from tokenizer.foreign.emu3.config import Emu3TokenizerConfig
from tokenizer.foreign.emu3.layers import (
    ByGuide,
    GuidedConditionedSequential,
    GuidedEnd,
    GuidedStart,
    KernelTimeDown,
    KernelTimeUp,
    OnBoth,
    OnFeatures,
    WithGuide,
)
from tokenizer.foreign.emu3.norms import FrameGroupNorm, GuidedNorm, StoredNorm
from tokenizer.foreign.layers import (
    CausalResidual,
    FrameResidual,
    MakeNorm,
    OneHeadAttention,
    SpaceDown,
    SpaceTimeConv,
    SpaceUp,
)
from tokenizer.networks.convolution import FrameConv
from tokenizer.streaming import StreamingSequential


def make_encoder(config: Emu3TokenizerConfig, latent_dim: int) -> StreamingSequential:
    return StreamingSequential(encoder_layers(config, latent_dim).values())


def make_decoder(config: Emu3TokenizerConfig, latent_dim: int) -> StreamingSequential:
    """What it is given follows each residual block."""
    layers = decoder_layers(config, latent_dim)
    if config.condition is None:
        return StreamingSequential(layers.values())
    after = {number: name.split(".") for number, name in enumerate(layers) if ".block." in name}
    dims = {number: config.widths[int(parts[2])] for number, parts in after.items()}
    return GuidedConditionedSequential(layers.values(), config.condition, dims)


def encoder_layers(config: Emu3TokenizerConfig, latent_dim: int) -> dict[str, nn.Module]:
    """Pixels to latents: frame by frame from the finest level to the coarsest, then along time."""
    widths = config.widths
    layers: dict[str, nn.Module] = {"encoder.conv_in": FrameConv(config.channels, widths[0], 3)}
    dim = widths[0]
    for level, width in enumerate(widths):
        layers |= level_layers(config, f"encoder.down.{level}", config.blocks, dim, FrameGroupNorm)
        dim = width
        if level < len(widths) - 1:
            layers[f"encoder.down.{level}.downsample"] = SpaceDown(dim)
    layers |= middle_layers("encoder.mid", dim, FrameGroupNorm)
    layers |= {"encoder.norm_out": FrameGroupNorm(dim), "encoder.silu": nn.SiLU()}
    layers["encoder.conv_out"] = FrameConv(dim, latent_dim, 3)
    layers |= {f"encoder.time_conv.{number}": KernelTimeDown(latent_dim) for number in range(config.halvings)}
    layers |= time_layers("encoder", config.blocks, latent_dim)
    return layers | {"quant_conv": SpaceTimeConv(latent_dim, latent_dim, repeats_first=False, kernel=1)}


def decoder_layers(config: Emu3TokenizerConfig, latent_dim: int) -> dict[str, nn.Module]:
    """Latents to pixels: along time, then frame by frame from the coarsest level to the finest, by the guide."""
    widths, make_norm = config.widths, partial(GuidedNorm, guide_dim=latent_dim)
    layers: dict[str, nn.Module] = {}
    layers["post_quant_conv"] = WithGuide(SpaceTimeConv(latent_dim, latent_dim, repeats_first=False, kernel=1))
    layers |= on_each(OnBoth, time_layers("decoder", config.blocks, latent_dim))
    layers |= {f"decoder.time_conv.{number}": OnBoth(KernelTimeUp(latent_dim)) for number in range(config.halvings)}
    dim = widths[-1]
    layers["decoder.conv_in"] = GuidedStart(FrameConv(latent_dim, dim, 3))
    layers |= on_each(ByGuide, middle_layers("decoder.mid", dim, make_norm))
    for level, width in reversed(list(enumerate(widths))):
        blocks = level_layers(config, f"decoder.up.{level}", config.blocks + 1, dim, make_norm)
        layers |= on_each(ByGuide, blocks)
        dim = width
        if level > 0:
            layers[f"decoder.up.{level}.upsample"] = OnFeatures(SpaceUp(dim))
    return layers | {
        "decoder.norm_out": GuidedEnd(make_norm(dim)),
        "decoder.conv_out": FrameConv(dim, config.channels, 3),
    }


def level_layers(
    config: Emu3TokenizerConfig, name: str, blocks: int, dim_in: int, make_norm: MakeNorm
) -> dict[str, nn.Module]:
    """The blocks of a level within frames, each followed by attention where the level has it."""
    level = int(name.rpartition(".")[2])
    dim, layers = config.widths[level], dict[str, nn.Module]()
    for number in range(blocks):
        layers[f"{name}.block.{number}"] = FrameResidual(dim if number else dim_in, dim, make_norm)
        if level in config.attention:
            layers[f"{name}.attn.{number}"] = OneHeadAttention(dim, make_norm)
    return layers


def middle_layers(name: str, dim: int, make_norm: MakeNorm) -> dict[str, nn.Module]:
    first, second = (FrameResidual(dim, dim, make_norm) for _ in range(2))
    return {
        f"{name}.block_1": first,
        f"{name}.attn_1": OneHeadAttention(dim, make_norm),
        f"{name}.block_2": second,
    }


def time_layers(name: str, blocks: int, dim: int) -> dict[str, nn.Module]:
    make_conv = partial(SpaceTimeConv, dim, dim, repeats_first=False)
    return {f"{name}.time_res_stack.{number}": CausalResidual(dim, StoredNorm, make_conv) for number in range(blocks)}


def on_each(wrap: Callable[..., nn.Module], layers: dict[str, nn.Module]) -> dict[str, nn.Module]:
    return {name: wrap(layer) for name, layer in layers.items()}
