"""What one latent frame holds: N tokens in groups, K codes a token.

Legend: B videos, T latent frames, N tokens of all groups in decode order, K codes of a token, D channels of a
continuous token.

Discrete tokens are `codes` int64 [B, T, N, K], continuous ones float [B, T, N, D]. Beside them `known` bool [B, T, N]
says which tokens are decided; what stands in `codes` where a token is not known has no meaning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a description of tokens is read where torch is not needed
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class TokenGroup:
    """Tokens that are decided before those of the next group."""

    name: str
    shape: tuple[int, ...]  # (8, 8) is a grid of rows and columns, (32,) a line

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 2) or min(self.shape) < 1:
            raise ValueError(f"group {self.name}: shape {self.shape} must be one or two positive numbers")

    @property
    def tokens(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class TokenSpec:
    """The tokens of one latent frame, for one frame size; a tokenizer makes it and a prior stores it."""

    codebooks: tuple[int, ...]  # the size of each codebook of a token; empty where tokens are continuous
    groups: tuple[TokenGroup, ...]
    frames_per_latent: int
    first_frames: int = 1  # frames in the first latent frame
    delay: int = 0  # latent frames of look-ahead that the decoder needs before it can show a frame
    channels: int | None = None  # of a continuous token

    def __post_init__(self) -> None:
        if bool(self.codebooks) == (self.channels is not None):
            raise ValueError("a token has codebooks or, where it is continuous, channels: set one of them")
        if self.codebooks and min(self.codebooks) < 2:
            raise ValueError(f"codebooks = {self.codebooks}: each needs at least 2 codes")
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"channels = {self.channels} must be at least 1")
        if not self.groups or len({group.name for group in self.groups}) < len(self.groups):
            raise ValueError(f"groups = {[group.name for group in self.groups]}: expected one or more different names")
        if not 1 <= self.first_frames <= self.frames_per_latent:
            raise ValueError(f"first_frames = {self.first_frames} must lie between 1 and {self.frames_per_latent}")
        if self.delay < 0:
            raise ValueError(f"delay = {self.delay} must not be negative")

    @property
    def continuous(self) -> bool:
        return self.channels is not None

    @property
    def tokens(self) -> int:
        """N: tokens of a latent frame."""
        return sum(group.tokens for group in self.groups)

    @property
    def depth(self) -> int:
        """Numbers of a token: K codes, or D channels."""
        return len(self.codebooks) if self.channels is None else self.channels

    @property
    def dtype(self) -> "torch.dtype":
        import torch

        return torch.float32 if self.continuous else torch.int64

    @property
    def bits(self) -> float:
        """Bits of a token at most; NaN where tokens are continuous."""
        return math.nan if self.continuous else math.log2(math.prod(self.codebooks))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The tokens of each group."""
        ends = [sum(group.tokens for group in self.groups[: number + 1]) for number in range(len(self.groups))]
        return tuple(slice(end - group.tokens, end) for end, group in zip(ends, self.groups, strict=True))

    def latent_frames(self, frames: int) -> int:
        """How many latent frames hold so many frames."""
        return 0 if frames <= 0 else 1 + max(0, -(-(frames - self.first_frames) // self.frames_per_latent))

    def whole_latent_frames(self, frames: int) -> int:
        """How many latent frames so many frames fill."""
        return 0 if frames < self.first_frames else 1 + (frames - self.first_frames) // self.frames_per_latent

    def video_frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames hold."""
        return 0 if latent_frames == 0 else self.first_frames + self.frames_per_latent * (latent_frames - 1)

    def empty(self, batch: int, latent_frames: int = 0, device: "torch.device | str" = "cpu") -> "Tensor":
        """Zeros of the shape of codes [B, T, N, K]: a place for tokens, or no latent frames at all."""
        import torch

        return torch.zeros(batch, latent_frames, self.tokens, self.depth, dtype=self.dtype, device=device)

    def resized(self, shapes: Sequence[tuple[int, ...]]) -> "TokenSpec":
        """The same kind of tokens with groups of other shapes: those of another frame size."""
        groups = zip(self.groups, shapes, strict=True)
        return replace(self, groups=tuple(TokenGroup(group.name, shape) for group, shape in groups))

    def same_kind(self, other: "TokenSpec") -> bool:
        """Whether both are tokens of one tokenizer, whatever the frame size."""
        return len(self.groups) == len(other.groups) and self == other.resized([group.shape for group in self.groups])

    def check(self, codes: "Tensor") -> None:
        """ValueError unless these are whole latent frames of such tokens [B, T, N, K]."""
        if codes.shape[-2:] != (self.tokens, self.depth) or codes.dtype.is_floating_point != self.continuous:
            expected = f"{str(self.dtype).removeprefix('torch.')} [..., {self.tokens}, {self.depth}]"
            raise ValueError(f"codes are {codes.dtype} {list(codes.shape)}; expected {expected}")

    def check_range(self, codes: "Tensor") -> None:
        """ValueError for a code that its codebook does not have; it reads all codes, which on a GPU waits for them."""
        self.check(codes)
        if self.continuous or codes.numel() == 0:
            return
        flat = codes.flatten(0, -2)
        reach = zip(flat.amin(0).tolist(), flat.amax(0).tolist(), self.codebooks, strict=True)
        for place, (low, high, size) in enumerate(reach):
            if low < 0 or high >= size:
                raise ValueError(f"codes of codebook {place} reach from {low} to {high}; it has 0 to {size - 1}")
