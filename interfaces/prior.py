"""The interface between a prior and a sampler: begin, propose, commit.

A sampler proposes any number of times, with some tokens of the next latent frame known; this does not change the past.
Then it commits the sampled latent frame to the past.

Legend: B streams, N tokens of a latent frame, M some of them, K codes of a token.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")
TreeT = TypeVar("TreeT")


class Text(NamedTuple):
    """Encoded captions, padded to one length L; a row without tokens means no text (the prior has a learned null)."""

    content: Tensor  # int64 [B, L] ids, or float [B, L, F] features of a frozen encoder
    mask: Tensor  # bool [B, L]: False for padding

    def without(self, dropped_B: Tensor) -> "Text":
        """Replaces the captions where `dropped_B` (bool) is true by no text."""
        if dropped_B.dtype != torch.bool or dropped_B.shape != self.mask.shape[:1]:
            expected = f"bool [{len(self.mask)}]"
            raise ValueError(f"dropped_B is {dropped_B.dtype} {list(dropped_B.shape)}; expected {expected}")
        return self._replace(mask=self.mask & ~dropped_B[:, None])

    def rows(self, index: Tensor | slice) -> "Text":
        """Selects captions by a slice, by indices (repeats allowed), or by a bool mask."""
        return Text(self.content[index], self.mask[index])

    def to(self, device: torch.device | str) -> "Text":
        return Text(self.content.to(device), self.mask.to(device))


Score = Literal["none", "log_probability", "entropy"]


@dataclass(frozen=True)
class DrawSettings:
    """How a proposal samples tokens at one step, and what it tells of each token.

    Scores, in nats and after guidance:

    none             0
    log_probability  of the drawn codes, before temperature, top-k and top-p
    entropy          of what the codes are drawn from, after temperature, top-k and top-p. For a token of several codes,
                     the sum over codes of the entropy given the codes drawn before: its mean over draws is the entropy
                     of the token
    """

    temperature: float = 1.0  # 0: argmax
    top_k: int | None = None
    top_p: float | None = None
    guidance: float | Tensor | None = None  # the scale, or one per sample; None: no guidance
    score: Score = "log_probability"  # the one that the caller needs
    broken: Tensor | None = None  # bool []: a head sets it for NaN or infinity, and continues with zeros


class TokenRNG(Protocol):
    """Random numbers for tokens [B, M]; a number depends only on the seed, the frame, the step and the token."""

    def uniforms(self, count: int) -> Tensor:
        """float64 [B, M, count], above 0 and below 1."""

    def normals(self, count: int) -> Tensor:
        """float64 [B, M, count], standard normal."""


@runtime_checkable
class TokenCoder(Protocol):
    """Decides codes in place of random numbers: one that writes given codes, or reads codes that were written."""

    def none(self) -> Tensor:
        """No codes yet: int64 [B, M, 0]."""

    def code(self, probabilities_BMV: Tensor, symbol: Callable[[Tensor], Tensor]) -> Tensor:
        """int64 [B, M]: the next code of each token, told how likely each code is.

        `symbol` gives this code of given tokens [B, M, K]: one of their codes, or the number of the whole token.
        """


TokenSource: TypeAlias = TokenRNG | TokenCoder


class Proposal(Protocol):
    """A distribution for each token of a latent frame, or for some of them."""

    def at(self, positions_BM: Tensor) -> "Proposal":
        """The distributions of these tokens only, numbered in decode order."""

    def sample(self, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        """Codes [B, M, K], and `settings.score` of each token float32 [B, M].

        With guidance the proposal has 2B streams, with text and then without, and the result has B.
        """

    def log_probability(self, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        """float32 [B, M]: the score `log_probability` that `sample` gives if it draws these codes.

        For a prior whose head knows the probability of a token: not for a flow.
        """


class FramePrior(Protocol, Generic[PastT, PresentT]):
    """The distribution of a latent frame given the latent frames before it, the text and the controls."""

    @property
    def device(self) -> torch.device: ...

    @property
    def spec(self) -> TokenSpec:
        """The tokens that it was trained on; `begin` also accepts those of other frame sizes."""

    def check_begin(self, spec: TokenSpec) -> None:
        """ValueError for tokens that `begin` does not accept, in one line."""

    @property
    def mask_noise(self) -> int:
        """How many random numbers each masked token is given; 0: none, as in most priors."""

    def with_mask_noise(self, past: PastT, noise_BNR: Tensor) -> PastT:
        """Sets the random numbers of the next latent frame, standard normal; they stay until they are set again."""

    def begin(self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0) -> PastT:
        """A past without frames. `history_noise` is the share of wrong tokens that the prior expects in its past."""

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: PastT,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[Proposal, PresentT]:
        """A proposal for the next latent frame given its known tokens, and the present to `commit` if all are known.

        With `positions_BM`, the result is that of `at(positions_BM)`, for less work. `control` [B, ...] is that of this
        latent frame.
        """

    def commit(self, past: PastT, present: PresentT) -> PastT:
        """Appends a latent frame whose tokens were all known; mutates `past` and returns it."""

    def advance(
        self, codes_BNK: Tensor, past: PastT, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[PastT, Proposal]:
        """Commits a latent frame and proposes the next one with no token known, in one forward pass."""


class AutoregressivePrior(FramePrior[PastT, PresentT], Protocol[PastT, PresentT]):
    """A prior that also proposes token by token, with a KV cache inside the latent frame."""

    def next_token(self, codes_BnK: Tensor, past: PastT, control: Tensor | None = None) -> Proposal:
        """The proposal [B, 1] for token n, given the n tokens before it; call it for all tokens in order."""


def clone_tensors(tree: TreeT) -> TreeT:
    """A copy of nested tuples of tensors, such as a past, that stays as it is when the original is mutated."""
    if isinstance(tree, Tensor):
        return tree.clone()  # type: ignore[return-value]
    if not isinstance(tree, tuple):
        return tree
    branches = [clone_tensors(each) for each in tree]
    return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)  # type: ignore[return-value]
