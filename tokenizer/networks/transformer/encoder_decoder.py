"""Encoder and decoder, built from the configuration.

As in the convolutional tokenizer, a linear path connects patches and features; norms are in the residual branches only.
"""

import torch
from torch import Tensor, nn

from tokenizer.networks.condition import decoder_sequence
from tokenizer.networks.convolution import FrameConv
from tokenizer.networks.patchify import HaarPatchify, Patchify
from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.networks.transformer.time_attention import GatedMLP, TimeAttention
from tokenizer.networks.transformer.window_attention import WindowAttention
from tokenizer.streaming import StreamingSequential

GAIN = 8.0  # of patches over features


class PatchOutput(FrameConv):
    """Features to patches: a linear layer that starts small, times a constant gain.

    Optimizers move every weight at the same rate, and the mean of a patch is up to 16 times as large as a feature; the
    gain lets it be learned that much sooner. Measured on the playroom, 15 s of a core: 22.8 dB with a gain of 8, 22.6
    with 4, 20.4 without. At full strength the layer starts as noise that has to be unlearned: 16.7 dB after 30 s.
    """

    def __init__(self, dim: int, patch_dim: int):
        super().__init__(dim, patch_dim, 1)
        with torch.no_grad():
            self.conv.weight.mul_(0.1 / GAIN)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return GAIN * super().forward(x_BTHWC)


def make_patchify(config: TransformerTokenizerConfig) -> Patchify:
    kind = HaarPatchify if config.front == "haar" else Patchify
    return kind(config.f_t, config.f_s)


def make_encoder(config: TransformerTokenizerConfig, feature_dim: int) -> StreamingSequential:
    """Patches to features."""
    first, last = FrameConv(config.patch_dim, config.width, 1), FrameConv(config.width, feature_dim, 1)
    return StreamingSequential([first, *block_layers(config, config.encoder_blocks), last])


def make_decoder(config: TransformerTokenizerConfig, feature_dim: int) -> StreamingSequential:
    """Features to patches; what it is given follows each block."""
    first, last = FrameConv(feature_dim, config.width, 1), PatchOutput(config.width, config.patch_dim)
    layers = [first, *block_layers(config, config.decoder_blocks), last]
    dims = {number: config.width for number, layer in enumerate(layers) if isinstance(layer, GatedMLP)}
    return decoder_sequence(layers, config.condition, dims)


def block_layers(config: TransformerTokenizerConfig, blocks: int) -> list[nn.Module]:
    """Three layers a block; the windows of every other block are shifted."""
    layers: list[nn.Module] = []
    for i in range(blocks):
        layers.append(WindowAttention(config.width, config.heads, config.window, shifted=i % 2 == 1))
        layers.append(TimeAttention(config.width, config.heads, config.window_t, config.causal))
        layers.append(GatedMLP(config.width, config.hidden))
    return layers
