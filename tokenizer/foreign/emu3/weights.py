"""Published tensors of the Emu3 vision tokenizer: what they tell of the settings, and their names here.

Names are those of its own code, such as `encoder.down.0.block.1.conv1.weight`, or of `Emu3VQVAE` in transformers, alone
or inside the whole Emu3, whose other tensors are dropped.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interfaces.foreign import ForeignTokenizer, shape_of, take_weights
from tokenizer.foreign.emu3.config import Emu3TokenizerConfig
from tokenizer.foreign.emu3.encoder_decoder import decoder_layers, encoder_layers
from tokenizer.foreign.layers import stacked_taps
from tokenizer.networks.convolution import FrameConv
from tokenizer.quantize import VQConfig

if TYPE_CHECKING:
    from tokenizer.networks.kinds import TokenizerConfig

IGNORED = ("num_batches_tracked", "model.text_model.", "text_model.", "lm_head.")  # a counter; the language model
INSIDE = ("model.vqmodel.", "vqmodel.")  # how the tokenizer's names begin in the whole Emu3 of transformers
TRANSFORMERS = {
    r"\.down\.": ".down_block.down.",
    r"\.up\.": ".up_block.up.",
    r"\.mid\.": ".middle_block.",
    r"\.attn_1\.norm\.": ".attn_norm.",
    r"\.attn\.(\d+)\.norm\.": r".attn_norms.\1.",
    r"\.([qkv])\.": r".\1_proj.",
    r"\.proj_out\.": ".out_proj.",
}  # from a name in its own code, one after the other


def read_config(source: Mapping[str, Tensor], options: Mapping[str, str]) -> Emu3TokenizerConfig:
    """All settings, from shapes."""
    for name in options:
        raise ValueError(f"{name} is no option of emu3: its tensors tell all")
    as_published = naming(source)

    def count(name: str) -> int:
        """How many there are of this name, numbered from 0."""
        number = 0
        while as_published(name.format(number)) in source:
            number += 1
        return number

    def width(level: int) -> int:
        return shape_of(source, as_published(f"encoder.down.{level}.block.0.conv1.weight"))[0]

    size, dim = shape_of(source, as_published("quantize.embedding.weight"))
    levels = count("encoder.down.{}.block.0.conv1.weight")
    return Emu3TokenizerConfig(
        f_t=2 ** count("encoder.time_conv.{}.conv.conv.weight"),
        widths=tuple(width(level) for level in range(levels)),
        blocks=count("encoder.down.0.block.{}.conv1.weight"),
        attention=tuple(level for level in range(levels) if count(f"encoder.down.{level}.attn.{{}}.q.weight")),
        quantizer=VQConfig(size, dim, learning="gradient"),
        channels=shape_of(source, as_published("encoder.conv_in.weight"))[1],
    )


def read_weights(source: Mapping[str, Tensor], config: "TokenizerConfig") -> dict[str, Tensor]:
    assert isinstance(config, Emu3TokenizerConfig)
    as_published = naming(source)
    names = {ours: as_published(theirs) for ours, theirs in published_names(config).items()}
    return {name: as_2d(name, weights) for name, weights in take_weights(source, names, IGNORED).items()}


def naming(source: Mapping[str, Tensor]) -> Callable[[str], str]:
    """From the name in its own code to the name in this source."""
    before = next((each for each in INSIDE if any(name.startswith(each) for name in source)), "")
    renamed = any(".down_block." in name for name in source)
    return lambda name: before + (transformers_name(name) if renamed else name)


def transformers_name(name: str) -> str:
    """The name in `Emu3VQVAE` of transformers, from any published one."""
    name = re.sub(f"^({'|'.join(map(re.escape, INSIDE))})", "", name)
    if "_block." in name:
        return name
    for pattern, replacement in TRANSFORMERS.items():
        name = re.sub(pattern, replacement, name)
    return name


def published_names(config: Emu3TokenizerConfig) -> dict[str, str]:
    """The name in its own code of each of our tensors."""
    names = {"quantizer.codebook": "quantize.embedding.weight"}
    with torch.device("meta"):
        sides = {"encoder": encoder_layers(config, 1), "decoder": decoder_layers(config, 1)}
    for side, layers in sides.items():
        for number, (published, layer) in enumerate(layers.items()):
            wrappers = {name for name, module in layer.named_modules() if isinstance(module, FrameConv)}
            for ours in layer.state_dict():
                module, leaf = ours.rpartition(".")[::2]
                if module.rpartition(".")[0] in wrappers:
                    module = module.rpartition(".")[0]
                parts = (published, module.removeprefix("layer").removeprefix("."), leaf)
                names[f"{side}.layers.{number}.{ours}"] = ".".join(part for part in parts if part)
    return names


def as_linear(name: str, weights: Tensor) -> Tensor:
    """The weights as transformers has them: linear layers where the kernel is one pixel."""
    return weights[:, :, 0, 0] if "_proj.weight" in transformers_name(name) and weights.ndim == 4 else weights


def as_2d(name: str, weights: Tensor) -> Tensor:
    """The weights of a convolution as those of ours; transformers has linear layers where the kernel is one pixel."""
    if weights.ndim == 5:
        return stacked_taps(weights)
    return weights[:, :, None, None] if weights.ndim == 2 and not name.startswith("quantizer.") else weights


EMU3 = ForeignTokenizer(
    source="model.safetensors of BAAI/Emu3-VisionTokenizer on the Hugging Face hub",
    licence="Apache-2.0",
    ignored=IGNORED,
    config=read_config,
    weights=read_weights,
)
