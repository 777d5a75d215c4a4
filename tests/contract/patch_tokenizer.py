"""A tokenizer of a few random matrices, for tokens of any layout.

A token of a grid is a patch of pixels times a matrix; a line of tokens is the whole frame times a matrix.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interfaces.tokens import TokenGroup, TokenSpec

LINE_SIDE = 8  # a line sees the frame as so many rows and columns


@dataclass(frozen=True)
class PatchConfig:
    """Grids of these cells, coarse before fine, or a line of so many tokens for one frame size."""

    codebooks: tuple[int, ...]  # each the product of two powers of two: a code is two numbers
    cells: tuple[int, ...] = (8,)  # the side of a token of each grid, in pixels
    line: int | None = None
    size: tuple[int, int] | None = None  # the only frame size, if there is only one
    frames_per_latent: int = 4
    first_frames: int = 1
    channels_of_token: int | None = None  # continuous

    @property
    def encoding(self) -> dict[str, Any]:
        return {"kind": "patch", **asdict(self)}


class TwoNumberCodes:
    """A code of n is a point of a grid of two numbers in [-1, 1], so that bfloat16 can hold it."""

    def __init__(self, codebooks: tuple[int, ...]):
        self.codebooks = codebooks
        sides = [(1 << (size.bit_length() // 2), size // (1 << (size.bit_length() // 2))) for size in codebooks]
        assert all(one * two == size for (one, two), size in zip(sides, codebooks, strict=True))
        self.levels_D = torch.tensor([levels for pair in sides for levels in pair])

    def to_codes(self, latents: Tensor) -> Tensor:
        levels_D = self.levels_D.to(latents.device)
        steps = ((latents.float() + 1) / 2 * levels_D).floor().long().clamp_min(0).minimum(levels_D - 1)
        return steps[..., 0::2] + steps[..., 1::2] * levels_D[0::2]

    def to_latents(self, codes: Tensor) -> Tensor:
        levels_D = self.levels_D.to(codes.device)
        pairs = torch.stack([codes % levels_D[0::2], codes // levels_D[0::2]], -1).flatten(-2)
        return (2 * pairs + 1) / levels_D - 1


class PatchTokenizer(nn.Module):
    """Keeps `interfaces.tokenizer.VideoTokenizer`, and what the laws of gradients and of codebooks ask for."""

    still_start: Literal[True] = True
    channels, causal = 3, True

    def __init__(self, config: PatchConfig):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.config, frames = config, config.frames_per_latent
        self.codes = TwoNumberCodes(config.codebooks) if config.codebooks else Identity()
        if isinstance(self.codes, TwoNumberCodes):
            self.quantizer = self.codes
        self.numbers = 2 * len(config.codebooks) or config.channels_of_token or 0
        pixels, tokens = 3 * frames, 1
        if config.line is not None:
            pixels, tokens = pixels * LINE_SIDE**2, config.line
        groups = 1 if config.line is not None else len(config.cells)

        def matrix(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * 3 * rows**-0.5)

        self.encoder = nn.ParameterList(matrix(pixels, tokens * self.numbers) for _ in range(groups))
        self.decoder = nn.ParameterList(matrix(tokens * self.numbers, pixels) for _ in range(groups))

    @property
    def device(self) -> torch.device:
        return self.encoder[0].device

    @property
    def size_multiple(self) -> int:
        return max(self.config.cells)

    def spec(self, height: int, width: int) -> TokenSpec:
        config = self.config
        if config.size not in (None, (height, width)) or height % self.size_multiple or width % self.size_multiple:
            raise ValueError(f"height x width {height} x {width} do not suit {config.size} and cells of {config.cells}")
        grids = [(height // cell, width // cell) for cell in config.cells] if config.line is None else [(config.line,)]
        groups = tuple(TokenGroup(f"group_{number}", shape) for number, shape in enumerate(grids))
        frames = config.frames_per_latent, config.first_frames
        return TokenSpec(config.codebooks, groups, *frames, channels=config.channels_of_token)

    @torch.no_grad()
    def encode(self, clip: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        latents, state = self.encode_latents(clip, state)
        return self.codes.to_codes(latents), state

    @torch.no_grad()
    def encode_tail(self, state: Any) -> Tensor:
        waiting = state[0]
        missing = -waiting.shape[2] % self.config.frames_per_latent
        return self.encode(waiting[:, :, -1:].expand(-1, -1, missing, -1, -1), state)[0]

    @torch.no_grad()
    def decode_tail(self, state: Any) -> Tensor | None:
        return None

    def decode(self, codes: Tensor, spec: TokenSpec, state: Any = None) -> tuple[Tensor, Any]:
        spec.check(codes)
        clip, state = self._decode(self.codes.to_latents(codes), spec, state)
        return clip.clamp(-1, 1), state

    # Continuous latents [B, T', N, D]

    def encode_latents(self, clip: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        frames = self.config.frames_per_latent
        if state is None and clip.shape[2] == 0:
            return self._no_latents(clip), None
        clip = torch.cat([self._before_first(clip) if state is None else state[0], clip], 2)
        whole = clip.shape[2] // frames * frames
        latents = [self._latent(clip[:, :, start : start + frames].clone()) for start in range(0, whole, frames)]
        return torch.cat([self._no_latents(clip), *latents], 1), (clip[:, :, whole:].clone(),)

    def encode_latents_parallel(self, clip: Tensor) -> Tensor:
        frames = self.config.frames_per_latent
        clip = torch.cat([self._before_first(clip), clip], 2)
        clip = torch.cat([clip, clip[:, :, -1:].expand(-1, -1, -clip.shape[2] % frames, -1, -1)], 2)
        latents = self._latent(clip.unflatten(2, (-1, frames)).transpose(1, 2).flatten(0, 1))
        return latents.view(len(clip), -1, *latents.shape[2:])

    def decode_latents(self, latents: Tensor, spec: TokenSpec, state: Any = None) -> tuple[Tensor, Any]:
        return self._decode(latents, spec, state)

    def decode_latents_parallel(self, latents: Tensor, spec: TokenSpec) -> Tensor:
        clips = self._pixels(latents.flatten(0, 1), spec).unflatten(0, latents.shape[:2])
        before = torch.cat([torch.zeros_like(clips[:, :1]), clips[:, :-1]], 1)[:, :, :, -1:]
        clip = (clips + before / 4).transpose(1, 2).flatten(2, 3)
        return clip[:, :, self.config.frames_per_latent - self.config.first_frames :]

    def _decode(self, latents: Tensor, spec: TokenSpec, state: Any) -> tuple[Tensor, Any]:
        height, width = self._size(spec)
        clips = [latents.new_empty(len(latents), 3, 0, height, width)]
        for number in range(latents.shape[1]):
            latent = latents[:, number].clone(memory_format=torch.contiguous_format)  # else the last bit may differ
            pixels = self._pixels(latent, spec)
            skipped = self.config.frames_per_latent - self.config.first_frames if state is None else 0
            before = torch.zeros_like(pixels[:, :, -1:]) if state is None else state[0]
            clips.append((pixels + before / 4)[:, :, skipped:])
            state = (pixels[:, :, -1:].clone(),)
        return torch.cat(clips, 2), state

    def _latent(self, clip: Tensor) -> Tensor:
        """[B, 3, f, H, W] to [B, 1, N, D]"""
        parts = []
        for pooled, matrix in zip(self._pooled(clip), self.encoder, strict=True):
            vectors = (pooled.flatten(1) if self.config.line else pooled.permute(0, 2, 3, 1).flatten(1, 2)) @ matrix
            parts.append(vectors.reshape(len(clip), -1, self.numbers))
        return torch.cat(parts, 1).tanh().unsqueeze(1)

    def _pooled(self, clip: Tensor) -> Iterator[Tensor]:
        frames = clip.flatten(1, 2)
        if self.config.line is not None:
            yield F.adaptive_avg_pool2d(frames, LINE_SIDE)
            return
        for cell in self.config.cells:
            yield F.avg_pool2d(frames, cell)

    def _pixels(self, latent: Tensor, spec: TokenSpec) -> Tensor:
        """[B, N, D] to [B, 3, f, H, W]"""
        size, frames = self._size(spec), torch.zeros(())
        for group, tokens, matrix in zip(spec.groups, spec.slices, self.decoder, strict=True):
            if self.config.line is not None:
                coarse = (latent.flatten(1) @ matrix).view(len(latent), -1, LINE_SIDE, LINE_SIDE)
            else:
                coarse = (latent[:, tokens] @ matrix).transpose(1, 2).unflatten(2, group.shape)
            frames = frames + F.interpolate(coarse, size=size)
        return frames.unflatten(1, (3, -1)) / 4

    def _size(self, spec: TokenSpec) -> tuple[int, int]:
        if self.config.size is not None:
            return self.config.size
        rows, columns = spec.groups[0].shape
        return rows * self.config.cells[0], columns * self.config.cells[0]

    def _before_first(self, clip: Tensor) -> Tensor:
        count = self.config.frames_per_latent - self.config.first_frames
        return clip[:, :, :1].expand(-1, -1, count, -1, -1)

    def _no_latents(self, clip: Tensor) -> Tensor:
        return clip.new_empty(len(clip), 0, self.spec(*clip.shape[3:]).tokens, self.numbers)


class Identity:
    """Continuous tokens are their latents."""

    def to_codes(self, latents: Tensor) -> Tensor:
        return latents

    def to_latents(self, codes: Tensor) -> Tensor:
        return codes
