"""LPIPS version 0.1 (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.precision import at_least_float32

SCALED = 1e-10  # beside the length of a feature, as published
ZERO = 1e-24  # a squared length below it counts as this: the root of zero has no gradient


@dataclass(frozen=True)
class LPIPSConfig:
    """`weights` is a folder that `videogen convert lpips` made, or a safetensors file with the tensors of one."""

    kind: Literal["lpips"]
    weight: float
    weights: str
    frames: int | None = 4  # compared per clip and step, because the network is large; null: all

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight = {self.weight} must not be negative")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames = {self.frames} must be at least 1, or null for all")


@dataclass(frozen=True)
class Convolution:
    width: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


@dataclass(frozen=True)
class Backbone:
    """The convolutions of a classifier of torchvision, each with a ReLU; frames are pooled between the blocks."""

    blocks: tuple[tuple[Convolution, ...], ...]
    pool: int  # side of a window; windows are two positions apart
    taps: tuple[int, ...]  # layers whose output is compared
    smallest: int  # side of a frame

    def layers(self) -> nn.Sequential:
        """Numbered as torchvision numbers them, without what follows the last ReLU."""
        layers: list[nn.Module] = []
        channels = 3
        for block in self.blocks:
            layers += [nn.MaxPool2d(self.pool, 2)] if layers else []
            for each in block:
                layers += [nn.Conv2d(channels, each.width, each.kernel, each.stride, each.padding), nn.ReLU()]
                channels = each.width
        return nn.Sequential(*layers)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of all tensors by their published names, the backbone's and the heads'."""
        with torch.device("meta"):
            layers = self.layers()
        shapes = {f"features.{name}": tuple(tensor.shape) for name, tensor in layers.state_dict().items()}
        widths = [shapes[f"features.{tap - 1}.bias"][0] for tap in self.taps]
        return shapes | {head(number): (1, width, 1, 1) for number, width in enumerate(widths)}


VGG16 = tuple(tuple(Convolution(width) for _ in range(count)) for width, count in zip((64, 128), (2, 2), strict=True))
VGG16 += tuple((Convolution(width),) * 3 for width in (256, 512, 512))
ALEXNET = (
    (Convolution(64, 11, 4, 2),),
    (Convolution(192, 5, 1, 2),),
    (Convolution(384), Convolution(256), Convolution(256)),
)
BACKBONES = {
    "vgg": Backbone(VGG16, pool=2, taps=(3, 8, 15, 22, 29), smallest=16),
    "alex": Backbone(ALEXNET, pool=3, taps=(1, 4, 7, 9, 11), smallest=31),
}


def head(number: int) -> str:
    """The published name of the weights of the features at a tap."""
    return f"lin{number}.model.1.weight"


def variant_of(weights: Mapping[str, Tensor]) -> str:
    """The name of the backbone that the tensors are of; that of VGG16 where they do not tell."""
    first = weights.get("features.0.weight")
    return "alex" if first is not None and first.shape[-1] == ALEXNET[0][0].kernel else "vgg"


class LPIPS(nn.Module):
    """The mean over the selected frames, never in less than float32, with frozen weights.

    `weights` holds torchvision's names for VGG16 or AlexNet, `features.N.weight` and `features.N.bias`, and the
    published heads `lin0.model.1.weight` to `lin4.model.1.weight`. Other tensors are ignored.
    """

    name = "lpips"
    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, Tensor], frames: int | None = None):
        super().__init__()
        self.frames, self.variant = frames, variant_of(weights)
        self.backbone = BACKBONES[self.variant]
        expected = self.backbone.shapes()
        heads = [head(number) for number in range(len(self.backbone.taps))]
        check_weights(weights, expected, not_negative=heads)
        used = {name: at_least_float32(weights[name].detach()).clone() for name in expected}
        with torch.device("meta"):
            self.features = self.backbone.layers()
        layers = {name.removeprefix("features."): tensor for name, tensor in used.items() if name not in heads}
        self.features.load_state_dict(layers, assign=True)
        self.heads = nn.ParameterList(used[name] for name in heads)
        # ImageNet's mean and deviation, for pixels in [-1, 1].
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        b, c, t, height, width = target.shape
        if c != 3 or min(height, width) < self.backbone.smallest:
            expected = f"3 channels and sides of at least {self.backbone.smallest} pixels"
            raise ValueError(f"LPIPS got {c} x {height} x {width}; expected {expected}")
        selected, dtype = select_frames(t, self.frames, step), self.mean.dtype
        pattern = "b c t h w -> (b t) c h w"
        with torch.autocast(target.device.type, enabled=False):
            frames = (rearrange(clip[:, :, selected].to(dtype), pattern) for clip in (reconstruction, target))
            distances = self._distances(*frames)
        return distances.reshape(b, -1).mean(1)

    def _distances(self, frames_NCHW: Tensor, targets_NCHW: Tensor) -> Tensor:
        """[N]"""
        with torch.no_grad():
            targets = self._features(targets_NCHW)
        pairs = zip(self._features(frames_NCHW), targets, self.heads, strict=True)
        layers = [F.conv2d((x - y).square(), weight) for x, y, weight in pairs]
        return torch.stack([layer.mean((1, 2, 3)) for layer in layers]).sum(0)

    def _features(self, frames_NCHW: Tensor) -> list[Tensor]:
        """Features of five depths, scaled to length 1 at each position."""
        x = ((frames_NCHW - self.mean) / self.deviation).to(memory_format=torch.channels_last)
        features = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.backbone.taps:
                features.append(x / (x.square().sum(1, keepdim=True).clamp_min(ZERO).sqrt() + SCALED))
        return features


def check_weights(
    weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], not_negative: list[str]
) -> None:
    missing = [name for name in expected if name not in weights]
    if missing:
        raise ValueError(
            f"LPIPS weights: {len(missing)} of {len(expected)} tensors are missing, the first '{missing[0]}'"
        )
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(f"LPIPS weights: '{name}' is {list(weights[name].shape)}; expected {list(shape)}")
        if not weights[name].isfinite().all() or (name in not_negative and weights[name].min() < 0):
            raise ValueError(f"LPIPS weights: '{name}' holds infinite or negative values, which no published LPIPS has")


def select_frames(total: int, count: int | None, step: int) -> list[int]:
    """`count` frames evenly spaced over `total`; they move on by one each step, so all are used equally often."""
    if count is None or count >= total:
        return list(range(total))
    return sorted((step + i * total // count) % total for i in range(count))
