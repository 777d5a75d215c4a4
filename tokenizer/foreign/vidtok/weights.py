"""Published tensors of VidTok: what they tell of the settings, and their names here."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast, get_args

import torch
from torch import Tensor

from interfaces.foreign import ForeignTokenizer, OtherModelError, shape_of, take_weights
from tokenizer.foreign.layers import stacked_taps
from tokenizer.foreign.vidtok.config import Version, VidTokConfig
from tokenizer.foreign.vidtok.encoder_decoder import decoder_layers, encoder_layers
from tokenizer.foreign.vidtok.tokenizer import VidTokTokenizer
from tokenizer.quantize import RoundedFSQConfig

if TYPE_CHECKING:
    from tokenizer.networks.kinds import TokenizerConfig

IGNORED = ("loss.",)  # of training: discriminator, LPIPS
LEVELS = 8  # of each dimension of a latent, in all of its quantizers


def read_config(source: Mapping[str, Tensor], options: Mapping[str, str]) -> VidTokConfig:
    """The settings that shapes tell, and the version, which they do not."""
    version = options.get("version")
    if version not in get_args(Version):
        given = "missing" if version is None else repr(version)
        raise ValueError(f"version is {given}: say 1.0 or 1.1, because the tensors of both have the same names")
    unknown = sorted(options.keys() - {"version"})
    if unknown:
        raise ValueError(f"{unknown[0]} is no option of vidtok: it has version alone")
    levels = len(numbers(source, r"encoder\.down\.(\d+)\.block\.0\.conv1\.weight"))
    latent_dim = shape_of(source, "encoder.conv_out.conv.weight")[0]
    if latent_dim != shape_of(source, "decoder.conv_in.conv.weight")[1]:
        raise OtherModelError("encoder gives means and variances: weights of continuous tokens; expected those of FSQ")
    return VidTokConfig(
        version=cast(Version, version),
        widths=tuple(shape_of(source, f"encoder.down.{level}.block.0.conv1.weight")[0] for level in range(levels)),
        blocks=len(numbers(source, r"encoder\.down\.0\.block\.(\d+)\.conv1\.weight")),
        time_down=numbers(source, r"encoder\.down_temporal\.(\d+)\.downsample\.mix_factor"),
        time_up=numbers(source, r"decoder\.up_temporal\.(\d+)\.upsample\.mix_factor"),
        quantizer=RoundedFSQConfig((LEVELS,) * latent_dim),
        channels=shape_of(source, "encoder.conv_in.conv.weight")[1],
    )


def read_weights(source: Mapping[str, Tensor], config: "TokenizerConfig") -> dict[str, Tensor]:
    assert isinstance(config, VidTokConfig)
    return {name: as_2d(weights) for name, weights in take_weights(source, published_names(config), IGNORED).items()}


def published_names(config: VidTokConfig) -> dict[str, str]:
    """The published name of each of our tensors."""
    with torch.device("meta"):
        ours = VidTokTokenizer(config).state_dict()
        layers = {"encoder": list(encoder_layers(config, 1)), "decoder": list(decoder_layers(config, 1))}
    names = {}
    for name in ours:
        part, _, number, inner = name.split(".", 3)
        layer = layers[part][int(number)]
        within_frame = layer.startswith(("down.", "up.")) and ".block." in layer
        inner = inner.replace(".conv.", ".") if within_frame else inner.replace("conv.conv.", "conv.", 1)
        names[name] = f"{part}.{layer}.{inner}"
    return names


def as_2d(weights: Tensor) -> Tensor:
    """The weights of a convolution as those of ours: over stacked frames, or over the plane of time and positions."""
    if weights.ndim == 5:
        return stacked_taps(weights)
    return weights.unsqueeze(-1) if weights.ndim == 3 else weights


def numbers(source: Mapping[str, Tensor], pattern: str) -> tuple[int, ...]:
    """All numbers at this place of a name, in order."""
    return tuple(sorted(int(match[1]) for name in source if (match := re.fullmatch(pattern, name))))


VIDTOK = ForeignTokenizer(
    source="https://huggingface.co/microsoft/VidTok",
    licence="MIT",
    ignored=IGNORED,
    config=read_config,
    weights=read_weights,
)
