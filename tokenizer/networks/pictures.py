"""An encoder of single pictures, beside a network that sees time."""

from dataclasses import dataclass

from torch import Tensor, nn

from tokenizer.networks.blocks import FrameAttention, FrameBlock
from tokenizer.networks.convolution import Downsample, FrameConv
from tokenizer.networks.patchify import HaarPatchify


@dataclass(frozen=True)
class PictureEncoderConfig:
    """Patches of half of f_s, then two levels: half as many channels at the fine one."""

    width: int  # channels of its features
    blocks: tuple[int, int] = (1, 2)  # at the fine and the coarse level

    def __post_init__(self) -> None:
        if self.width < 2 or self.width % 2:
            raise ValueError(f"width = {self.width} must be even and at least 2")
        if len(self.blocks) != 2 or min(self.blocks) < 0:
            raise ValueError(f"blocks = {self.blocks}: expected two numbers of at least 0")


class PictureEncoder(nn.Module):
    """[B, C, T, H, W] -> [B, T, H / f_s, W / f_s, width], each frame alone."""

    def __init__(self, config: PictureEncoderConfig, channels: int, f_s: int):
        super().__init__()
        side, (fine, coarse) = f_s // 2, config.blocks
        self.patchify = HaarPatchify(1, side)
        self.layers = nn.Sequential(
            FrameConv(channels * side**2, config.width // 2, 3),
            *(FrameBlock(config.width // 2) for _ in range(fine)),
            Downsample(config.width // 2, config.width, 1, 2),
            *(FrameBlock(config.width) for _ in range(coarse)),
            FrameAttention(config.width),
        )

    def forward(self, frames_BCTHW: Tensor) -> Tensor:
        return self.layers(self.patchify(frames_BCTHW))  # type: ignore[no-any-return]
