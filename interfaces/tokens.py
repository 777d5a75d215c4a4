"""The tokens of one latent frame: N tokens in groups, K codes per token.

Legend: B videos, T latent frames, N tokens of all groups in decode order, K codes of a token, D channels of a
continuous token.

Discrete tokens are `codes` int64 [B, T, N, K], continuous ones float [B, T, N, D]. Beside them `known` bool [B, T, N]
says which tokens are known; the codes of other tokens are meaningless.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing this module must not import torch
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class TokenGroup:
    """Tokens that are sampled before those of the next group."""

    name: str
    shape: tuple[int, ...]  # (8, 8) is a grid of rows and columns, (32,) is 1D

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 2) or min(self.shape) < 1:
            raise ValueError(f"group {self.name}: shape {self.shape} must be one or two positive numbers")

    @property
    def tokens(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class TokenSpec:
    """The tokens of one latent frame for one frame size; from a tokenizer, stored in the prior's configuration."""

    codebooks: tuple[int, ...]  # the size of each codebook; empty if tokens are continuous
    groups: tuple[TokenGroup, ...]
    frames_per_latent: int
    first_frames: int = 1  # frames in the first latent frame
    delay: int = 0  # latent frames of look-ahead that the decoder needs
    channels: int | None = None  # of a continuous token; None for codes
    size: tuple[int, int] | None = None  # height and width of a frame, where the groups do not tell them

    def __post_init__(self) -> None:
        if bool(self.codebooks) == (self.channels is not None):
            raise ValueError("codebooks and channels: set one of them (channels if tokens are continuous)")
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

    def __str__(self) -> str:
        """In a few words, for messages."""
        kind = f"{self.channels} numbers" if self.continuous else f"codebooks of {' x '.join(map(str, self.codebooks))}"
        groups = " + ".join(" x ".join(map(str, group.shape)) for group in self.groups)
        return f"{groups} tokens of {kind}"

    @property
    def continuous(self) -> bool:
        return self.channels is not None

    @property
    def tokens(self) -> int:
        """N, the number of tokens of a latent frame."""
        return sum(group.tokens for group in self.groups)

    @property
    def depth(self) -> int:
        """The numbers per token: K codes, or D channels."""
        return len(self.codebooks) if self.channels is None else self.channels

    @property
    def dtype(self) -> "torch.dtype":
        import torch

        return torch.float32 if self.continuous else torch.int64

    @property
    def bits(self) -> float:
        """The maximum number of bits per token; NaN if tokens are continuous."""
        return math.nan if self.continuous else math.log2(math.prod(self.codebooks))

    @property
    def slices(self) -> tuple[slice, ...]:
        """The tokens of each group."""
        ends = [sum(group.tokens for group in self.groups[: number + 1]) for number in range(len(self.groups))]
        return tuple(slice(end - group.tokens, end) for end, group in zip(ends, self.groups, strict=True))

    def latent_frames(self, frames: int) -> int:
        """The number of latent frames that hold `frames` frames."""
        return 0 if frames <= 0 else 1 + max(0, -(-(frames - self.first_frames) // self.frames_per_latent))

    def whole_latent_frames(self, frames: int) -> int:
        """The number of latent frames that `frames` frames fill completely."""
        return 0 if frames < self.first_frames else 1 + (frames - self.first_frames) // self.frames_per_latent

    def video_frames(self, latent_frames: int) -> int:
        """The number of frames in `latent_frames` latent frames."""
        return 0 if latent_frames == 0 else self.first_frames + self.frames_per_latent * (latent_frames - 1)

    def empty(self, batch: int, latent_frames: int = 0, device: "torch.device | str" = "cpu") -> "Tensor":
        """Zeros of the shape of codes [B, T, N, K]."""
        import torch

        return torch.zeros(batch, latent_frames, self.tokens, self.depth, dtype=self.dtype, device=device)

    def resized(self, shapes: Sequence[tuple[int, ...]]) -> "TokenSpec":
        """The spec for another frame size that groups tell: groups of these shapes."""
        groups = zip(self.groups, shapes, strict=True)
        return replace(self, groups=tuple(TokenGroup(group.name, shape) for group, shape in groups))

    def same_kind(self, other: "TokenSpec") -> bool:
        """Whether the two differ only in the sizes of their groups, as for two frame sizes of one tokenizer."""
        shapes = [group.shape for group in self.groups]
        alike = [len(shape) for shape in shapes] == [len(group.shape) for group in other.groups]
        return alike and replace(self, size=other.size) == other.resized(shapes)

    def check(self, codes: "Tensor") -> None:
        """ValueError unless the codes have the shape and type of whole latent frames [..., N, K]."""
        if codes.shape[-2:] != (self.tokens, self.depth) or codes.dtype.is_floating_point != self.continuous:
            expected = f"{str(self.dtype).removeprefix('torch.')} [..., {self.tokens}, {self.depth}]"
            raise ValueError(f"codes are {codes.dtype} {list(codes.shape)}; expected {expected}")

    def check_range(self, codes: "Tensor") -> None:
        """ValueError for a code outside its codebook; reads all codes, so it synchronizes a GPU."""
        self.check(codes)
        if self.continuous or codes.numel() == 0:
            return
        flat = codes.flatten(0, -2)
        reach = zip(flat.amin(0).tolist(), flat.amax(0).tolist(), self.codebooks, strict=True)
        for place, (low, high, size) in enumerate(reach):
            if low < 0 or high >= size:
                raise ValueError(f"codes of codebook {place} are {low} to {high}; it has 0 to {size - 1}")
