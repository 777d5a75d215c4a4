"""The promise of a prior to a sampler: begin, propose, commit. A sampler knows nothing else of a network.

A sampler proposes as often as it likes, with some tokens of the next latent frame known; the past stays as it was.
Then it commits the decided latent frame, and time goes on.

Legend: B streams, N tokens of a latent frame, M some of them, K codes of a token.
"""

from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class Text(NamedTuple):
    """Captions of one fixed length L, padded; a row without any token is no text: the prior's learned null."""

    content: Tensor  # int64 [B, L] ids, or float [B, L, F] features of a frozen encoder
    mask: Tensor  # bool [B, L]: where there is a token

    def without(self, dropped_B: Tensor) -> "Text":
        """The same captions; those where `dropped_B` (bool) is true become no text."""
        if dropped_B.dtype != torch.bool or dropped_B.shape != self.mask.shape[:1]:
            expected = f"bool [{len(self.mask)}]"
            raise ValueError(f"dropped_B is {dropped_B.dtype} {list(dropped_B.shape)}; expected {expected}")
        return self._replace(mask=self.mask & ~dropped_B[:, None])

    def rows(self, index: Tensor | slice) -> "Text":
        """Some of the captions: by a slice, by their numbers (repeats allowed), or by a bool for each."""
        return Text(self.content[index], self.mask[index])

    def to(self, device: torch.device | str) -> "Text":
        return Text(self.content.to(device), self.mask.to(device))


@dataclass(frozen=True)
class DrawSettings:
    """How a proposal draws tokens at one step."""

    temperature: float = 1.0  # 0 takes the most probable
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | Tensor | None = None  # scale, or one a sample; None: the streams are not in pairs
    confidence: bool = True  # whether the caller reads it
    broken: Tensor | None = None  # bool []: a head sets it where its numbers are not finite, and goes on with zeros


class TokenRNG(Protocol):
    """Random numbers for the tokens that are drawn [B, M]: a number depends on seed, frame, step and token alone."""

    def uniforms(self, count: int) -> Tensor:
        """float64 [B, M, count] above 0 and below 1."""

    def normals(self, count: int) -> Tensor:
        """float64 [B, M, count] of the standard normal distribution."""


class Proposal(Protocol):
    """A guess at each token of a latent frame, or at some of them."""

    def at(self, places_BM: Tensor) -> "Proposal":
        """The guesses at these tokens alone, counted in decode order."""

    def sample(self, settings: DrawSettings, rng: TokenRNG) -> tuple[Tensor, Tensor]:
        """Codes [B, M, K] and the log-probability of each token, float32 [B, M], before temperature and cuts.

        With guidance the proposal is of 2B streams, with the text and then without it, and the answer is for B.
        """


class FramePrior(Protocol, Generic[PastT, PresentT]):
    """What a latent frame might be, given the latent frames before it, the text and the controls."""

    @property
    def device(self) -> torch.device: ...

    @property
    def spec(self) -> TokenSpec:
        """The tokens that it was trained on; `begin` may be given those of another frame size."""

    def begin(self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0) -> PastT:
        """A past without frames. `history_noise` is the share of wrong tokens that the prior should expect in it."""

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: PastT,
        control: Tensor | None = None,
        places_BM: Tensor | None = None,
    ) -> tuple[Proposal, PresentT]:
        """Guesses at the next latent frame given its known tokens, and the present to commit a decided frame by.

        Where `places_BM` says which guesses will be read, the answer is the whole proposal's `at` these places.
        `control` is the row [B, ...] of this latent frame.
        """

    def commit(self, past: PastT, present: PresentT) -> PastT:
        """Go on by a latent frame whose tokens were all known; mutates `past` and returns it."""

    def advance(
        self, codes_BNK: Tensor, past: PastT, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[PastT, Proposal]:
        """Commit a decided latent frame and propose the one after it, no token known: two steps in one pass."""


class AutoregressivePrior(FramePrior[PastT, PresentT], Protocol[PastT, PresentT]):
    """A prior that also answers token by token, and keeps what it knows of the latent frame between the questions."""

    def next_token(self, codes_BnK: Tensor, past: PastT, control: Tensor | None = None) -> Proposal:
        """The guess [B, 1] at token n, given the n tokens before it; ask for the tokens of a latent frame in order."""
