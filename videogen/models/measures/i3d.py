"""I3D (Carreira and Zisserman, "Quo vadis, action recognition?", 2017) for Kinetics-400, as FVD uses it.

Legend: B clips, C channels, T frames, H, W pixels. Layers have their published names, which the weights have too.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from videogen.checkpoint_reader import read_checkpoint
from videogen.models.measures.base import COUNTER, MeasureKind, PublicMeasure, as_network, check_options, tensors_of

CLASSES = 400
EPSILON = 1e-5  # of batch norms, as in the published reader of these weights
Triple = tuple[int, int, int]

# Of each mixed layer: channels of a 1 x 1 branch, two of a 1 x 1 and a 3 x 3 layer, and one behind a pooling.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


class Unit(nn.Module):
    """A convolution with TensorFlow's padding, and a batch norm and a ReLU unless it is the last one."""

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1, last: bool = False):
        super().__init__()
        self.conv3d = nn.Conv3d(channels, width, kernel, stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(width, eps=EPSILON)
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x = self.conv3d(pad_as_tensorflow(x_BCTHW, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class Pool(nn.Module):
    """The largest of each window, with TensorFlow's padding. Zeros stand beside values that are not negative."""

    def __init__(self, kernel: Triple, stride: Triple):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        return F.max_pool3d(pad_as_tensorflow(x_BCTHW, self.kernel, self.stride), self.kernel, self.stride)


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, widths: tuple[int, ...]):
        super().__init__()
        self.b0 = Unit(channels, widths[0])
        self.b1a, self.b1b = Unit(channels, widths[1]), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(channels, widths[3]), Unit(widths[3], widths[4], 3)
        self.b3a, self.b3b = Pool((3, 3, 3), (1, 1, 1)), Unit(channels, widths[5])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], 1)


def pad_as_tensorflow(x_BCTHW: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros so that every `stride`-th position has a window; the odd one of an odd number stands behind."""
    sides: list[int] = []
    for size, window, step in zip(x_BCTHW.shape[2:], kernel, stride, strict=True):
        total = max(0, (-(-size // step) - 1) * step + window - size)
        sides = [total // 2, total - total // 2, *sides]
    return F.pad(x_BCTHW, sides) if any(sides) else x_BCTHW


class I3D(nn.Module):
    """Clips [B, 3, T, H, W] in [-1, 1], of at least 9 frames of 193 x 193, to the logits of 400 classes [B, 400]."""

    frames, size = 16, 224  # of a clip, as FVD has it

    def __init__(self) -> None:
        super().__init__()
        mixed, channels = {}, 192
        for name, widths in MIXED.items():
            mixed[name] = Mixed(channels, widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
        layers = {
            "Conv3d_1a_7x7": Unit(3, 64, 7, 2),
            "MaxPool3d_2a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            "Conv3d_2b_1x1": Unit(64, 64),
            "Conv3d_2c_3x3": Unit(64, 192, 3),
            "MaxPool3d_3a_3x3": Pool((1, 3, 3), (1, 2, 2)),
            **{name: mixed[name] for name in ("Mixed_3b", "Mixed_3c")},
            "MaxPool3d_4a_3x3": Pool((3, 3, 3), (2, 2, 2)),
            **{name: mixed[name] for name in mixed if name.startswith("Mixed_4")},
            "MaxPool3d_5a_2x2": Pool((2, 2, 2), (2, 2, 2)),
            **{name: mixed[name] for name in ("Mixed_5b", "Mixed_5c")},
        }
        self.names = tuple(layers)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.logits = Unit(channels, CLASSES, last=True)

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        return self.classify(self.features(clips_BCTHW))

    def features(self, clips_BCTHW: Tensor) -> Tensor:
        """[B, 1024, T / 8, H / 32, W / 32], rounded up."""
        x = clips_BCTHW
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x

    def classify(self, features_BCTHW: Tensor) -> Tensor:
        logits: Tensor = self.logits(F.avg_pool3d(features_BCTHW, (2, 7, 7), 1))
        return logits.mean((2, 3, 4))


def load_i3d(weights: Mapping[str, Tensor]) -> I3D:
    with torch.random.fork_rng(devices=[]):
        network: I3D = as_network(I3D(), {name: tensor.float() for name, tensor in weights.items()})
    return network


def read_i3d(source: Path, options: Mapping[str, str]) -> PublicMeasure:
    check_options(options)
    with torch.device("meta"):
        network = I3D()
    return PublicMeasure("kinetics-400", read_checkpoint(source), tensors_of(network))


I3D_KINETICS = MeasureKind(
    source="i3d_pretrained_400.pt of https://github.com/songweige/TATS (tats/fvd), converted from "
    "https://tfhub.dev/deepmind/i3d-kinetics-400/1",
    licence="Apache-2.0 (DeepMind's model); read the licence of the place that the file comes from",
    ignored=(COUNTER,),
    read=read_i3d,
)
