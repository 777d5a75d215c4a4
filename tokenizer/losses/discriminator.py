"""The discriminator: does a patch of space and time belong to a clip or to a reconstruction?

Legend: B batch, T frames, H height, W width, C channels; primed sizes are after halving.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.blocks import PositionNorm
from tokenizer.networks.convolution import FrameConv, init_conv


@dataclass(frozen=True)
class DiscriminatorConfig:
    """One width per level, the finest first; each level halves height and width."""

    widths: tuple[int, ...]
    time_halvings: int  # how many of the coarsest levels halve time as well
    channels: int = 3

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths = {self.widths}: expected at least one positive number")
        if not 0 <= self.time_halvings <= len(self.widths):
            raise ValueError(f"time_halvings = {self.time_halvings} must lie between 0 and {len(self.widths)}")
        if self.channels < 1:
            raise ValueError(f"channels = {self.channels} must be at least 1")

    @property
    def smallest_side(self) -> int:
        """The smallest height and width of a frame: one position must remain after all levels."""
        return int(2 ** len(self.widths))


class Discriminator(nn.Module):
    """Clips or images (T = 1) [B, C, T, H, W] in [-1, 1] to logits [B, T', H', W']; positive means real.

    It is not causal, because a discriminator is never streamed. Norms work on the channels of one position, inside the
    residual branches only. So a logit does not depend on other clips of the batch (as with BatchNorm) or on the rest of
    the frame (GroupNorm), there is no state between steps (spectral norm), and contrast still counts.
    """

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        whole = len(config.widths) - config.time_halvings
        dims = zip((config.channels, *config.widths), config.widths, strict=False)
        layers = []
        for i, (dim_in, dim_out) in enumerate(dims):
            downsample = DiscriminatorDownsample(dim_in, dim_out, time_stride=1 if i < whole else 2)
            layers.append(nn.Sequential(downsample, DiscriminatorBlock(dim_out)))
        self.levels = nn.Sequential(*layers)
        self.verdict = nn.Sequential(PositionNorm(config.widths[-1]), FrameConv(config.widths[-1], 1, 3))

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        smallest = self.config.smallest_side
        if clip_BCTHW.ndim != 5 or clip_BCTHW.shape[1] != self.config.channels or min(clip_BCTHW.shape[3:]) < smallest:
            expected = f"[B, {self.config.channels}, T, H, W] with sides of at least {smallest}"
            raise ValueError(f"the discriminator got {list(clip_BCTHW.shape)}; expected {expected}")
        x_BTHWC = self.levels(clip_BCTHW.permute(0, 2, 3, 4, 1).contiguous())
        return self.verdict(x_BTHWC).squeeze(-1)  # type: ignore[no-any-return]


class DiscriminatorDownsample(nn.Module):
    """[B, T, H, W, C] -> [B, T / time_stride rounded up, H / 2, W / 2, D]; windows overlap, so no grid is visible."""

    def __init__(self, dim_in: int, dim_out: int, time_stride: int):
        super().__init__()
        self.space = init_conv(nn.Conv2d(dim_in, dim_out, 4, stride=2, padding=1))
        self.time = BidirectionalTimeConv(dim_out, time_stride) if time_stride > 1 else nn.Identity()

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        y_NDHW = self.space(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2))
        return self.time(y_NDHW.permute(0, 2, 3, 1).unflatten(0, x_BTHWC.shape[:2]))  # type: ignore[no-any-return]


class DiscriminatorBlock(nn.Module):
    """x + time(leaky_relu(space(norm(x)))): a 3 x 3 kernel within the frame, then three frames of each position."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = PositionNorm(dim)
        self.space = FrameConv(dim, dim, 3)
        self.time = BidirectionalTimeConv(dim, stride=1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return x_BTHWC + self.time(F.leaky_relu(self.space(self.norm(x_BTHWC)), 0.2))  # type: ignore[no-any-return]


class BidirectionalTimeConv(nn.Module):
    """[B, T, H, W, C] -> [B, T / stride rounded up, H, W, C]: the previous, this and the next frame.

    The first and the last frame are repeated, so an image equals a still clip.
    """

    def __init__(self, dim: int, stride: int):
        super().__init__()
        self.conv = init_conv(nn.Conv2d(dim, dim, (3, 1), stride=(stride, 1)))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        padded_BTHWC = torch.cat([x_BTHWC[:, :1], x_BTHWC, x_BTHWC[:, -1:]], dim=1)
        y_BCTS: Tensor = self.conv(padded_BTHWC.flatten(2, 3).permute(0, 3, 1, 2))
        return rearrange(y_BCTS, "b c t (h w) -> b t h w c", h=x_BTHWC.shape[2])
