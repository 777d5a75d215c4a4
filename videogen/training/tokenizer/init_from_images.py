"""The initial weights of a factorized tokenizer that starts from a tokenizer of images.

The network along time begins as one of still images: a latent frame is the mean of its frames' features, encoded by the
image model's last layer, and the image model's first layer decodes it into equal frames. So with the image model's
quantizer and a plain grid, frames of a still clip are its pictures from the first step on.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import cast

import torch
from torch import Tensor, nn

from tokenizer.networks.blocks import TimeBlock
from tokenizer.networks.convolution import Downsample, FrameConv, Upsample
from tokenizer.networks.factorized import FactorizedTokenizer
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.networks.latent import LatentTokenizer


def init_from_images(given: LatentTokenizer, config: FactorizedTokenizerConfig) -> dict[str, Tensor]:
    """The weights of a factorized tokenizer; ValueError if the image model differs from its network for frames."""
    own = replace(config.image, spread_weight=given.config.spread_weight)
    wrong = [field.name for field in fields(own) if getattr(given.config, field.name) != getattr(own, field.name)]
    if wrong:
        named = ["image_quantizer" if name == "quantizer" and config.image_quantizer else name for name in wrong]
        raise ValueError(f"differs from the network for frames of this configuration in {', '.join(named)}")
    with torch.random.fork_rng(devices=[]):
        network = FactorizedTokenizer(config)
    network.quantizer.begin_training()
    network.frames.load_state_dict(given.state_dict())
    if given.config.quantizer == config.quantizer:
        for quantizer in dict.fromkeys(network.quantizer.of_group(n) for n in range(network.layout.quantizers)):
            quantizer.load_state_dict(given.quantizer.state_dict())
    encoder, decoder = given.encoder.layers, given.decoder.layers
    begin_still(network, cast(FrameConv, encoder[-1]), cast(FrameConv, decoder[0]))  # type: ignore[index]
    return dict(network.state_dict())


@torch.no_grad()
def begin_still(network: FactorizedTokenizer, head: FrameConv, entry: FrameConv) -> None:
    """Means of frames are encoded as images, and every image is repeated; blocks along time change nothing yet."""
    into = layers_of(network.encoder.time)  # type: ignore[arg-type]
    out_of = layers_of(network.decoder)[: network.config.decoder_time_blocks + 2]  # the image model's own come after
    for layer in (*into, *out_of):
        if isinstance(layer, TimeBlock):
            nn.init.zeros_(layer.time.conv.weight)
        elif isinstance(layer, Downsample):
            same = torch.eye(layer.mix.conv.weight.shape[0]) / layer.time
            layer.mix.conv.weight.copy_(same.repeat(1, layer.time)[:, :, None, None])
        elif isinstance(layer, Upsample):
            same = torch.eye(layer.mix.conv.weight.shape[1])
            layer.mix.conv.weight.copy_(same.repeat(layer.time, 1)[:, :, None, None])
    for layer, image_layer in ((into[-1], head), (out_of[0], entry)):
        if cast(FrameConv, layer).conv.weight.shape == image_layer.conv.weight.shape:  # layouts may have other channels
            layer.load_state_dict(image_layer.state_dict())


def layers_of(part: nn.Module) -> Sequence[nn.Module]:
    return cast(Sequence[nn.Module], part.layers)
