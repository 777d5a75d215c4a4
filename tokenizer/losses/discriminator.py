"""The critic of stage one: is this patch of space and time from a real clip or from a reconstruction?

Legend: B batch, T frames, H height, W width, C channels; primed sizes are after halving.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tokenizer.networks.blocks import PositionNorm
from tokenizer.networks.convolution import FrameConv, calm


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Each width is a level, the finest first; every level has half the height and width of the one before."""

    widths: tuple[int, ...]
    time_halvings: int  # at so many of the coarsest levels time is halved as well
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
        """Of a frame: each level halves it, and one position has to be left."""
        return int(2 ** len(self.widths))


class Discriminator(nn.Module):
    """Clips [B, C, T, H, W] in [-1, 1], images (T = 1) among them, to logits [B, T', H', W']: positive means real.

    It looks both ways in time: nobody streams a critic. Normalised is every position over its own channels, inside
    the residual branches only: so no clip is judged by its neighbours in the batch (BatchNorm), no patch by the rest of
    its frame (GroupNorm), nothing is remembered from step to step (spectral norm), and contrast is still felt.
    """

    def __init__(self, config: DiscriminatorConfig):
        super().__init__()
        self.config = config
        whole = len(config.widths) - config.time_halvings
        dims = zip((config.channels, *config.widths), config.widths, strict=False)
        layers = [
            nn.Sequential(Halving(dim_in, dim_out, time_stride=1 if i < whole else 2), CriticBlock(dim_out))
            for i, (dim_in, dim_out) in enumerate(dims)
        ]
        self.levels = nn.Sequential(*layers)
        self.verdict = nn.Sequential(PositionNorm(config.widths[-1]), FrameConv(config.widths[-1], 1, 3))

    def forward(self, clip_BCTHW: Tensor) -> Tensor:
        smallest = self.config.smallest_side
        if clip_BCTHW.ndim != 5 or clip_BCTHW.shape[1] != self.config.channels or min(clip_BCTHW.shape[3:]) < smallest:
            wanted = f"[B, {self.config.channels}, T, H, W] with sides of at least {smallest}"
            raise ValueError(f"the discriminator takes {wanted}, not {list(clip_BCTHW.shape)}")
        x_BTHWC = self.levels(clip_BCTHW.permute(0, 2, 3, 4, 1).contiguous())
        return self.verdict(x_BTHWC).squeeze(-1)  # type: ignore[no-any-return]


class Halving(nn.Module):
    """[B, T, H, W, C] -> [B, T / time_stride rounded up, H / 2, W / 2, D]; overlapping windows, so no grid shows."""

    def __init__(self, dim_in: int, dim_out: int, time_stride: int):
        super().__init__()
        self.space = calm(nn.Conv2d(dim_in, dim_out, 4, stride=2, padding=1))
        self.time = BothWaysTimeConv(dim_out, time_stride) if time_stride > 1 else nn.Identity()

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        y_NDHW = self.space(x_BTHWC.flatten(0, 1).permute(0, 3, 1, 2))
        return self.time(y_NDHW.permute(0, 2, 3, 1).unflatten(0, x_BTHWC.shape[:2]))  # type: ignore[no-any-return]


class CriticBlock(nn.Module):
    """x + time(leaky(space(norm(x)))): 3 x 3 within the frame, then three frames of each position."""

    def __init__(self, dim: int):
        super().__init__()
        self.norm = PositionNorm(dim)
        self.space = FrameConv(dim, dim, 3)
        self.time = BothWaysTimeConv(dim, stride=1)

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return x_BTHWC + self.time(F.leaky_relu(self.space(self.norm(x_BTHWC)), 0.2))  # type: ignore[no-any-return]


class BothWaysTimeConv(nn.Module):
    """[B, T, H, W, C] -> [B, T / stride rounded up, H, W, C]: the frame before, this one and the next.

    The ends are repeated, so an image is judged as a clip that stands still.
    """

    def __init__(self, dim: int, stride: int):
        super().__init__()
        self.conv = calm(nn.Conv2d(dim, dim, (3, 1), stride=(stride, 1)))

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        seen_BTHWC = torch.cat([x_BTHWC[:, :1], x_BTHWC, x_BTHWC[:, -1:]], dim=1)
        y_BCTS: Tensor = self.conv(seen_BTHWC.flatten(2, 3).permute(0, 3, 1, 2))
        return rearrange(y_BCTS, "b c t (h w) -> b t h w c", h=x_BTHWC.shape[2])
