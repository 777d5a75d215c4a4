"""The interface of a tokenizer: frames to codes and back, chunk by chunk."""

from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec

State = Any  # nested tuples of tensors; opaque to the caller
T = TypeVar("T")


class VideoTokenizer(Protocol):
    """Clips [B, C, T, H, W] in [-1, 1] to codes [B, T', N, K] and back.

    Any split of a stream into calls gives the same bits. The state is an argument and a result; None starts a stream.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def causal(self) -> bool:
        """Whether it can stream. One that is not takes whole clips: ValueError for a call that goes on from a state."""

    @property
    def channels(self) -> int: ...

    @property
    def size_multiple(self) -> int:
        """Height and width must be multiples of this."""

    def spec(self, height: int, width: int) -> TokenSpec:
        """The tokens of a latent frame for this frame size; ValueError for an unsupported size."""

    def encode(self, clip: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Codes of the latent frames that these frames complete; the state buffers the other frames.

        The state stays None until there is a frame.
        """

    def encode_tail(self, state: State) -> Tensor:
        """Codes [B, 0 or 1, N, K] of the buffered frames, padded by repeating the last one."""

    def decode(self, codes: Tensor, spec: TokenSpec, state: State = None) -> tuple[Tensor, State]:
        """The frames in [-1, 1] that latent frames of this spec complete: their own, where `spec.delay` is 0.

        A decoder that looks ahead holds back those that a later latent frame still changes.
        """

    def decode_tail(self, state: State) -> Tensor | None:
        """The frames that are held back when a stream ends, as if it were a whole clip; None: no frames."""


class ConditionalTokenizer(VideoTokenizer, Protocol):
    """A tokenizer whose decoder is given captions, which are part of its state: `decode` itself need not know."""

    def begin_decoding(self, text: Text | None) -> State:
        """The state of a decoder that has decoded nothing yet and is given these captions, one for each clip."""

    def with_condition(self, state: State, text: Text | None) -> State:
        """The state of the same stream, given these captions from the next latent frame on; None tells it nothing."""


def encode_clip(tokenizer: VideoTokenizer, clip_BCTHW: Tensor) -> Tensor:
    """Codes of a whole clip of T >= 1 frames; `decode_clip` returns at least T frames, crop them."""
    codes_BTNK, state = tokenizer.encode(clip_BCTHW)
    if state is None:
        raise ValueError(f"a clip without frames: {tuple(clip_BCTHW.shape)}")
    return torch.cat([codes_BTNK, tokenizer.encode_tail(state)], dim=1)


def decode_clip(tokenizer: VideoTokenizer, codes_BTNK: Tensor, spec: TokenSpec, state: State = None) -> Tensor:
    """All frames of a clip from all of its codes; `state` is one that has decoded nothing yet."""
    clip_BCTHW, state = tokenizer.decode(codes_BTNK, spec, state)
    tail_BCTHW = tokenizer.decode_tail(state)
    return clip_BCTHW if tail_BCTHW is None else torch.cat([clip_BCTHW, tail_BCTHW], dim=2)
