"""How different two clips look: LPIPS with its pretrained network, and a loss that needs no network at all.

Both take clips [B, C, T, H, W] in [-1, 1] and give one number a clip [B], zero where the clips are equal.
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
    """What every loss of this file promises; `name` is its name in the log."""

    name: str

    def __call__(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        """One number a clip [B], with a gradient. The step says which frames are looked at, where not all are."""


@dataclass(frozen=True)
class MultiscaleStructureConfig:
    """A hand-made loss over edges and local contrast. It is not LPIPS and its numbers cannot be compared with LPIPS."""

    kind: Literal["multiscale_structure"]
    weight: float
    edges: float = 1.0  # how much a difference of slopes counts beside a difference of local structure
    scales: int = 4

    def __post_init__(self) -> None:
        if self.weight < 0 or self.edges < 0:
            raise ValueError(f"{'weight' if self.weight < 0 else 'edges'} must not be negative in {self}")
        if self.scales < 1:
            raise ValueError(f"scales = {self.scales} must be at least 1")


class MultiscaleStructure:
    """Structure lost and edges moved, at several scales, in brightness and two colour differences. Not LPIPS.

    At each scale two terms. Structure: the variance of the error in a small window over the variances of both images
    there, which is 1 - (the contrast-structure factor of SSIM). So blur counts and a shift of brightness does not, and
    an error counts more in a flat region than in a busy one. Edges: the absolute slope of the error in width, height
    and time; the slope in time is flicker.
    """

    name = "multiscale_structure"
    floor = 0.06**2  # SSIM's (0.03 * range)^2 for a range of 2: below such a contrast nobody sees structure
    smallest = 8  # no scale has a side below this, unless the clip itself has

    def __init__(self, config: MultiscaleStructureConfig):
        self.config = config

    def __call__(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        x_BCTHW, y_BCTHW = opponent(at_least_float32(reconstruction)), opponent(at_least_float32(target).detach())
        scales = []
        for _ in range(self.config.scales):
            x_half, y_half = halved(x_BCTHW), halved(y_BCTHW)
            error = x_BCTHW - y_BCTHW
            structure = lost_structure(x_BCTHW, y_BCTHW, x_half, y_half, self.floor)
            scales.append(structure + self.config.edges * slope(error))
            if min(x_half.shape[-2:]) < self.smallest:
                break
            x_BCTHW, y_BCTHW = x_half, y_half
        return torch.stack(scales).mean(0)


def lost_structure(x: Tensor, y: Tensor, x_mean: Tensor, y_mean: Tensor, floor: float) -> Tensor:
    """var(x - y) / (var(x) + var(y) + floor) in windows of 4 x 4 whose means are given; the mean of each clip [B]."""
    error = halved((x - y).square()) - (x_mean - y_mean).square()
    contrast = halved(x.square()) - x_mean.square() + halved(y.square()) - y_mean.square()
    return (error.clamp_min(0) / (contrast.clamp_min(0) + floor)).flatten(1).mean(1)


def slope(error_BCTHW: Tensor) -> Tensor:
    """The mean absolute difference of neighbours in width, height and time, summed over the three: [B]."""
    directions = [d for d in (-1, -2, -3) if error_BCTHW.shape[d] > 1]
    return sum((error_BCTHW.diff(dim=d).abs().flatten(1).mean(1) for d in directions), error_BCTHW.new_zeros(()))


def halved(x_BCTHW: Tensor) -> Tensor:
    """Half the height and width; every value the mean of a window of 4 x 4, less where it leaves the frame."""
    if min(x_BCTHW.shape[-2:]) < 2:
        return x_BCTHW
    frames = rearrange(x_BCTHW, "b c t h w -> (b c) t h w")
    means = F.avg_pool2d(frames, 4, stride=2, padding=1, count_include_pad=False)
    return rearrange(means, "(b c) t h w -> b c t h w", b=len(x_BCTHW))


def opponent(clip_BCTHW: Tensor) -> Tensor:
    """RGB to brightness, blue against yellow and red against cyan, each in [-1, 1]; other channels as they are."""
    if clip_BCTHW.shape[1] != 3:
        return clip_BCTHW
    red, green, blue = clip_BCTHW.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma, 0.564 * (blue - luma), 0.713 * (red - luma)], dim=1)


@dataclass(frozen=True)
class LPIPSConfig:
    """`weights` is a safetensors file of the user's: VGG16's convolutions and the five heads, as `LPIPS` names them."""

    kind: Literal["lpips"]
    weight: float
    weights: str
    frames: int | None = 4  # of each clip at a step, for the network is large; null: all

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight = {self.weight} must not be negative")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames = {self.frames} must be at least 1, or null for all")


class LPIPS(nn.Module):
    """LPIPS version 0.1 on VGG16, the mean over the frames looked at, always in float32. Its weights are fixed.

    `weights` holds torchvision's names for VGG16, `features.N.weight` and `features.N.bias` with N = 0, 2, 5, 7, 10,
    12, 14, 17, 19, 21, 24, 26, 28, and the published heads `lin0.model.1.weight` to `lin4.model.1.weight`, each
    [1, channels, 1, 1]. Other tensors in it are left alone.
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
        # The network's own training saw ImageNet's mean and deviation; here for pixels in [-1, 1].
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.458, 0.448, 0.450])[:, None, None])
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        b, c, t, height, width = target.shape
        if c != 3 or min(height, width) < self.smallest:
            needs = f"3 channels and sides of {self.smallest} pixels or more"
            raise ValueError(f"LPIPS needs {needs}, not {c} x {height} x {width}")
        chosen = frames_to_look_at(t, self.frames, step)
        pattern = "b c t h w -> (b t) c h w"
        with torch.autocast(target.device.type, enabled=False):
            frames = (rearrange(clip[:, :, chosen].float(), pattern) for clip in (reconstruction, target))
            of_frames = self._distances(*frames)
        return of_frames.reshape(b, -1).mean(1)

    def _distances(self, frames_NCHW: Tensor, wanted_NCHW: Tensor) -> Tensor:
        """[N]"""
        with torch.no_grad():
            wanted = self._seen(wanted_NCHW)
        pairs = zip(self._seen(frames_NCHW), wanted, self.heads, strict=True)
        layers = [F.conv2d((x - y).square(), head) for x, y, head in pairs]
        return torch.stack([layer.mean((1, 2, 3)) for layer in layers]).sum(0)

    def _seen(self, frames_NCHW: Tensor) -> list[Tensor]:
        """The features of five depths, at each position scaled to length 1."""
        x = ((frames_NCHW - self.mean) / self.deviation).to(memory_format=torch.channels_last)
        seen = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.taps:
                seen.append(x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt())
        return seen


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
            raise ValueError(f"LPIPS weights: '{name}' holds values that no published LPIPS has (infinite or negative)")


def frames_to_look_at(total: int, count: int | None, step: int) -> list[int]:
    """`count` frames evenly spaced over `total`; from step to step they move on by one, so that all have their turn."""
    if count is None or count >= total:
        return list(range(total))
    return sorted((step + i * total // count) % total for i in range(count))
