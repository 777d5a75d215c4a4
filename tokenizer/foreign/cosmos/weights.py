"""Published tensors of a Cosmos tokenizer to its configuration and weights here.

Names are those of the published TorchScript archives, such as `encoder.down.0.block.1.conv1.0.conv3d.weight`, or of the
same networks in diffusers. Kernels have a dimension for time and two for space; ours leave out what is always 1.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from interfaces.foreign import ForeignKeysError, ForeignTokenizer, take_weights, whole_number
from tokenizer.foreign.cosmos.config import LEVELS, PATCH, CosmosTokenizerConfig
from tokenizer.foreign.cosmos.network import decoder_layers, encoder_layers
from tokenizer.precision import at_least_float32
from tokenizer.quantize import RoundedFSQConfig, encoder_dim_of

IGNORED = ("wavelets", "_arange", "patch_size_buffer", "_levels", "_basis", "implicit_codebook")
PUBLISHED_LEVELS = (8, 8, 8, 5, 5, 5)
DIFFUSERS = {
    r"\.down\.(\d)\.": r".down_blocks.\1.",
    **{rf"\.up\.{level}\.": f".up_blocks.{LEVELS - 1 - level}." for level in range(LEVELS)},
    r"\.block\.": ".resnets.",
    r"\.(down|up)sample\.": r".\1samplers.0.",
    r"\.mid\.block_1\.": ".mid_block.resnets.0.",
    r"\.mid\.block_2\.": ".mid_block.resnets.1.",
    r"\.mid\.attn_1\.0\.": ".mid_block.attentions.0.",
    r"\.mid\.attn_1\.1\.": ".mid_block.temp_attentions.0.",
    r"\.([qkv])\.conv3d\.": r".to_\1.",
    r"\.proj_out\.conv3d\.": ".to_out.0.",
    r"\.0\.conv3d\.": ".conv_s.",
    r"\.1\.conv3d\.": ".conv_t.",
    r"\.nin_shortcut\.": ".conv_shortcut.",
    r"\.conv3d\.": ".",
}  # from a name in an archive, one after the other


def cosmos_config(source: Mapping[str, Tensor], options: Mapping[str, str]) -> CosmosTokenizerConfig:
    """Widths, blocks and, where the source has them, levels and ratio from the tensors.

    Options: `ratio` such as 4x8x8, for archives that hold all layers of resampling whether used or not; `levels` such
    as 8,8,8,5,5,5; `window`.
    """
    for name in options.keys() - {"ratio", "levels", "window"}:
        raise ValueError(f"{name}: a Cosmos tokenizer has the options ratio, levels and window")
    width = channels_in(source)
    coarse = [width(f"encoder.down.{level}.block.0.conv1.0", out=True) for level in range(LEVELS)]
    fine = [width(f"decoder.up.{level}.block.0.conv1.0", out=True) for level in range(LEVELS)]
    levels = levels_of(source, options)
    if len(levels) != width("quant_conv", out=True):
        raise ValueError(f"levels = {levels}: the source has {width('quant_conv', out=True)} numbers of a latent")
    f_t, f_s = ratio_of(source, options)
    return CosmosTokenizerConfig(
        f_t=f_t,
        f_s=f_s,
        encoder_widths=(width("encoder.conv_in.0", out=True), *coarse),
        encoder_blocks=blocks_of(source, "encoder.down.0"),
        decoder_widths=(*fine, width("decoder.conv_in.0", out=True)),
        decoder_blocks=blocks_of(source, "decoder.up.0"),
        latent_channels=width("quant_conv", out=False),
        quantizer=RoundedFSQConfig(levels),
        window=whole_number("window", options["window"]) if "window" in options else CosmosTokenizerConfig.window,
        channels=width("encoder.conv_in.0", out=False) // PATCH**3,
    )


def cosmos_weights(source: Mapping[str, Tensor], config: CosmosTokenizerConfig) -> dict[str, Tensor]:
    """All weights of a CosmosTokenizer of this configuration, in float32 at least."""
    as_published, names = naming(source), dict[str, str]()
    with torch.device("meta"):
        encoder = encoder_layers(config, encoder_dim_of(config.quantizer))
        decoder = decoder_layers(config, config.quantizer.dim)
    for side, layers in (("encoder", encoder), ("decoder", decoder)):
        for number, (published, layer) in enumerate(layers):
            for part in layer.state_dict():
                names[f"{side}.layers.{number}.{part}"] = as_published(archive_name(f"{published}.{part}"))
    unused = resampling_names(source) - set(names.values()) if has_all_resampling(source) else set[str]()
    used = {name: tensor for name, tensor in source.items() if name not in unused}
    return {name: without_ones(at_least_float32(tensor)) for name, tensor in take_weights(used, names, IGNORED).items()}


def archive_name(path: str) -> str:
    """The name in an archive of a weight with this path through our modules, the layer already under its own name."""
    module, leaf = path.rsplit(".", 1)
    module = module.replace(".layers.", ".").removesuffix(".conv")
    inner = "norm" if module.rpartition(".")[2].startswith("norm") else "conv3d"
    return f"{module}.{inner}.{leaf}"


def naming(source: Mapping[str, Tensor]) -> Callable[[str], str]:
    """From the name in an archive to the name in this source."""
    return diffusers_name if any(".down_blocks." in name for name in source) else str


def diffusers_name(name: str) -> str:
    for pattern, replacement in DIFFUSERS.items():
        name = re.sub(pattern, replacement, name)
    return name


def without_ones(tensor: Tensor) -> Tensor:
    """A kernel within a frame as [D, C, k, k], one over time as [D, C, k, 1]."""
    return tensor if tensor.ndim < 5 else tensor.squeeze(2 if tensor.shape[2] == 1 else 4)


def channels_in(source: Mapping[str, Tensor]) -> Callable[..., int]:
    as_published = naming(source)

    def channels(convolution: str, *, out: bool) -> int:
        name = as_published(f"{convolution}.conv3d.weight")
        if name not in source:
            raise ForeignKeysError([name], [])
        return source[name].shape[0 if out else 1]

    return channels


def blocks_of(source: Mapping[str, Tensor], level: str) -> int:
    as_published, count = naming(source), 0
    while as_published(f"{level}.block.{count}.norm1.norm.weight") in source:
        count += 1
    return count


def levels_of(source: Mapping[str, Tensor], options: Mapping[str, str]) -> tuple[int, ...]:
    if "levels" in options:
        return tuple(whole_number("levels", level) for level in options["levels"].split(","))
    found = [tensor for name, tensor in source.items() if name.rpartition(".")[2] == "_levels"]
    return tuple(int(level) for level in found[0].flatten().tolist()) if found else PUBLISHED_LEVELS


def ratio_of(source: Mapping[str, Tensor], options: Mapping[str, str]) -> tuple[int, int]:
    """(f_t, f_s)."""
    held = resampling_names(source) & source.keys()
    space, time = (sum(1 for name in held if is_encoder_kernel(name, conv)) for conv in ("conv1", "conv2"))
    read = (PATCH * 2**time, PATCH * 2**space)
    if "ratio" not in options:
        if has_all_resampling(source):
            raise ValueError("ratio: these tensors do not tell it; give one of 4x8x8, 8x8x8 and 8x16x16")
        return read
    given = re.fullmatch(r"(\d+)x(\d+)x\2", options["ratio"])
    if given is None:
        raise ValueError(f"ratio = {options['ratio']}: expected one such as 4x8x8")
    ratio = (int(given[1]), int(given[2]))
    if ratio != read and not has_all_resampling(source):
        raise ValueError(f"ratio = {options['ratio']}: the tensors are those of {read[0]}x{read[1]}x{read[1]}")
    return ratio


def is_encoder_kernel(name: str, conv: str) -> bool:
    return name.startswith("encoder.") and f".{conv}." in name and name.endswith(".weight")


def has_all_resampling(source: Mapping[str, Tensor]) -> bool:
    """Whether the source holds every layer that resampling may need; no tokenizer uses all of them."""
    return resampling_names(source) <= source.keys()


def resampling_names(source: Mapping[str, Tensor]) -> set[str]:
    encoder = [f"encoder.down.{level}.downsample" for level in range(LEVELS - 1)]
    decoder = [f"decoder.up.{level}.upsample" for level in range(1, LEVELS)]
    parts = [f"conv{number}.conv3d.{leaf}" for number in (1, 2, 3) for leaf in ("weight", "bias")]
    return {naming(source)(f"{layer}.{part}") for layer in encoder + decoder for part in parts}


COSMOS = ForeignTokenizer(
    source="encoder.jit and decoder.jit, or autoencoder.jit, of nvidia/Cosmos-0.1-Tokenizer-DV4x8x8, -DV8x8x8 and "
    "-DV8x16x16, nvidia/Cosmos-Tokenize1-DV4x8x8-360p and -DV8x16x16-720p on the Hugging Face hub",
    licence="NVIDIA Open Model License",
    ignored=IGNORED,
    config=cosmos_config,
    weights=cosmos_weights,
)
