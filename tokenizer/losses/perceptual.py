"""Perceptual losses: LPIPS with its pretrained network, and a loss of structure and edges that needs no network.

Both take clips [B, C, T, H, W] in [-1, 1] and return one number per clip [B], zero for equal clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.precision import at_least_float32


class PerceptualLoss(Protocol):
    """The interface of both losses; `name` is the name in the log."""

    name: str

    def __call__(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        """One number per clip [B], with a gradient. Where not all frames are compared, the step selects them."""


@dataclass(frozen=True)
class MultiscaleStructureConfig:
    """A loss of edges and local contrast. Its numbers are not comparable with LPIPS."""

    kind: Literal["multiscale_structure"]
    weight: float
    edges: float = 1.0  # weight of the difference of slopes, relative to that of the structure
    scales: int = 4

    def __post_init__(self) -> None:
        if self.weight < 0 or self.edges < 0:
            raise ValueError(f"{'weight' if self.weight < 0 else 'edges'} must not be negative in {self}")
        if self.scales < 1:
            raise ValueError(f"scales = {self.scales} must be at least 1")


class MultiscaleStructure:
    """Differences of structure and edges at several scales, in brightness and two color differences. Not LPIPS.

    Each scale has two terms. Structure: the variance of the error in a small window over the variances of both images
    there, which is 1 - (the contrast-structure factor of SSIM). So blur counts and a shift of brightness does not, and
    an error counts more in a flat region than in a detailed one. Edges: the absolute slope of the error in width,
    height and time; the slope in time is flicker.
    """

    name = "multiscale_structure"
    floor = 0.06**2  # SSIM's (0.03 * range)^2 for a range of 2: contrast below this is not visible
    smallest = 8  # smallest side of a scale, where the clip itself is not smaller

    def __init__(self, config: MultiscaleStructureConfig):
        self.config = config

    def __call__(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        x_BCTHW, y_BCTHW = opponent(at_least_float32(reconstruction)), opponent(at_least_float32(target).detach())
        scales = []
        for _ in range(self.config.scales):
            x_half, y_half = downsample_2x(x_BCTHW), downsample_2x(y_BCTHW)
            error = x_BCTHW - y_BCTHW
            structure = structure_error(x_BCTHW, y_BCTHW, x_half, y_half, self.floor)
            scales.append(structure + self.config.edges * slope(error))
            if min(x_half.shape[-2:]) < self.smallest:
                break
            x_BCTHW, y_BCTHW = x_half, y_half
        return torch.stack(scales).mean(0)


def structure_error(x: Tensor, y: Tensor, x_mean: Tensor, y_mean: Tensor, floor: float) -> Tensor:
    """var(x - y) / (var(x) + var(y) + floor) in windows of 4 x 4 whose means are given; the mean of each clip [B]."""
    error = downsample_2x((x - y).square()) - (x_mean - y_mean).square()
    contrast = downsample_2x(x.square()) - x_mean.square() + downsample_2x(y.square()) - y_mean.square()
    return (error.clamp_min(0) / (contrast.clamp_min(0) + floor)).flatten(1).mean(1)


def slope(error_BCTHW: Tensor) -> Tensor:
    """Mean absolute difference of neighbors in width, height and time, summed over the three: [B]."""
    directions = [d for d in (-1, -2, -3) if error_BCTHW.shape[d] > 1]
    return sum((error_BCTHW.diff(dim=d).abs().flatten(1).mean(1) for d in directions), error_BCTHW.new_zeros(()))


def downsample_2x(x_BCTHW: Tensor) -> Tensor:
    """Halves height and width; each value is the mean of a window of 4 x 4, cut off at the border of the frame."""
    if min(x_BCTHW.shape[-2:]) < 2:
        return x_BCTHW
    frames = rearrange(x_BCTHW, "b c t h w -> (b c) t h w")
    means = F.avg_pool2d(frames, 4, stride=2, padding=1, count_include_pad=False)
    return rearrange(means, "(b c) t h w -> b c t h w", b=len(x_BCTHW))


def opponent(clip_BCTHW: Tensor) -> Tensor:
    """RGB to brightness, blue against yellow and red against cyan, each in [-1, 1]; other channels stay unchanged."""
    if clip_BCTHW.shape[1] != 3:
        return clip_BCTHW
    red, green, blue = clip_BCTHW.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)], dim=1)


@dataclass(frozen=True)
class LPIPSConfig:
    """`weights` is a safetensors file with VGG16's convolutions and the five heads, named as `LPIPS` expects them."""

    kind: Literal["lpips"]
    weight: float
    weights: str
    frames: int | None = 4  # compared per clip and step, because the network is large; null: all

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight = {self.weight} must not be negative")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames = {self.frames} must be at least 1, or null for all")


class LPIPS(nn.Module):
    """LPIPS version 0.1 on VGG16, the mean over the selected frames, always in float32, with frozen weights.

    `weights` holds torchvision's names for VGG16, `features.N.weight` and `features.N.bias` with N = 0, 2, 5, 7, 10,
    12, 14, 17, 19, 21, 24, 26, 28, and the published heads `lin0.model.1.weight` to `lin4.model.1.weight`, each
    [1, channels, 1, 1]. Other tensors are ignored.
    """

    name = "lpips"
    smallest = 16  # side of a frame
    taps = (3, 8, 15, 22, 29)  # the last ReLU of each of the five blocks
    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Mapping[str, Tensor], frames: int | None = None):
        super().__init__()
        self.frames = frames
        with torch.device("meta"):
            self.features = vgg16()
        expected = {f"features.{name}": tuple(t.shape) for name, t in self.features.state_dict().items()}
        heads = {f"lin{i}.model.1.weight": (1, blocks[-1], 1, 1) for i, blocks in enumerate(VGG16)}
        check_weights(weights, expected | heads, not_negative=heads)
        vgg = {name.removeprefix("features."): weights[name].detach().float().clone() for name in expected}
        self.features.load_state_dict(vgg, assign=True)
        self.heads = nn.ParameterList(weights[name].detach().float().clone() for name in heads)
        # ImageNet's mean and deviation, for pixels in [-1, 1].
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        b, c, t, height, width = target.shape
        if c != 3 or min(height, width) < self.smallest:
            expected = f"3 channels and sides of at least {self.smallest} pixels"
            raise ValueError(f"LPIPS got {c} x {height} x {width}; expected {expected}")
        selected = select_frames(t, self.frames, step)
        pattern = "b c t h w -> (b t) c h w"
        with torch.autocast(target.device.type, enabled=False):
            frames = (rearrange(clip[:, :, selected].float(), pattern) for clip in (reconstruction, target))
            distances = self._distances(*frames)
        return distances.reshape(b, -1).mean(1)

    def _distances(self, frames_NCHW: Tensor, targets_NCHW: Tensor) -> Tensor:
        """[N]"""
        with torch.no_grad():
            targets = self._features(targets_NCHW)
        pairs = zip(self._features(frames_NCHW), targets, self.heads, strict=True)
        layers = [F.conv2d((x - y).square(), head) for x, y, head in pairs]
        return torch.stack([layer.mean((1, 2, 3)) for layer in layers]).sum(0)

    def _features(self, frames_NCHW: Tensor) -> list[Tensor]:
        """Features of five depths, scaled to length 1 at each position."""
        x = ((frames_NCHW - self.mean) / self.deviation).to(memory_format=torch.channels_last)
        features = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                features.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
        return features


VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg16() -> nn.Sequential:
    """The convolutional part, without the last pooling."""
    layers: list[nn.Module] = []
    dim = 3
    for block in VGG16:
        layers += [nn.MaxPool2d(2)] if layers else []
        for width in block:
            layers += [nn.Conv2d(dim, width, 3, padding=1), nn.ReLU()]
            dim = width
    return nn.Sequential(*layers)


def check_weights(
    weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], not_negative: Mapping[str, object]
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
