"""A prior whose probabilities are known: a token depends on the token before it in raster order (or on its being
masked), on the same place of the last frame, and on whether the stream has a text.

It keeps the promise of `prior.interface`, counts the passes a network would make, and remembers what it was asked.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from prior.vocabulary import Vocabulary
from torch import Tensor


class FakePast(NamedTuple):
    text_B: Tensor  # int64, 1 where there is a text
    last_BN: Tensor  # the last frame; 0 before the first
    frames: Tensor


class FakePresent(NamedTuple):
    ids_BN: Tensor


@dataclass(frozen=True)
class FakeProposal:
    log_p: Tensor  # [B, h, w, size], or [B, M, size]
    vocabulary: Vocabulary

    def logits(self, known_digits: Tensor) -> Tensor:
        """The chain rule over the digits, exactly: what is left of the distribution given the first d of them."""
        every = self.vocabulary.to_digits(torch.arange(self.vocabulary.size))
        place = known_digits.shape[-1]
        possible = (every[:, :place] == known_digits.unsqueeze(-2)).all(-1)
        left = self.log_p.masked_fill(~possible, -torch.inf)
        columns = [left[..., every[:, place] == value] for value in range(self.vocabulary.digits[place])]
        return torch.stack([column.logsumexp(-1) for column in columns], -1).float()

    def at(self, places_BM: Tensor) -> "FakeProposal":
        log_p = self.log_p.flatten(1, 2)
        return FakeProposal(log_p.gather(1, places_BM[..., None].expand(-1, -1, log_p.shape[-1])), self.vocabulary)


@dataclass
class FakePrior:
    """`log_p` float64 [2, size + 1, size, size]: of text, the token before (size: masked), the last frame's token."""

    digits: tuple[int, ...]
    log_p: Tensor
    passes: int = 0
    asked: list[Tensor] = field(default_factory=list)  # ids [B, h, w] of each proposal
    places: list[Tensor | None] = field(default_factory=list)  # [B, M], that each proposal was asked about

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.digits)

    def begin(self, text, batch: int, grid: tuple[int, int], rate: float = 0.0) -> FakePast:
        """`text` bool [B]: which streams have one; None: none."""
        text_B = torch.zeros(batch, dtype=torch.int64) if text is None else text.long()
        self.grid = grid
        return FakePast(text_B, torch.zeros(batch, grid[0] * grid[1], dtype=torch.int64), torch.tensor(0))

    def propose(
        self, ids_Bhw: Tensor, past: FakePast, places_BM: Tensor | None = None
    ) -> tuple[FakeProposal, FakePresent]:
        self.passes += 1
        self.asked.append(ids_Bhw.clone())
        self.places.append(places_BM)
        ids_BN = ids_Bhw.flatten(1)
        before_BN = torch.cat([past.last_BN[:, -1:], ids_BN[:, :-1]], 1)
        log_p = self.log_p[past.text_B[:, None], before_BN, past.last_BN]
        proposal = FakeProposal(log_p.unflatten(1, ids_Bhw.shape[1:]), self.vocabulary)
        return (proposal if places_BM is None else proposal.at(places_BM)), FakePresent(ids_BN)

    def commit(self, past: FakePast, present: FakePresent) -> FakePast:
        assert (present.ids_BN < self.vocabulary.mask).all(), "a frame with masks was committed"
        return FakePast(past.text_B, present.ids_BN, past.frames + 1)

    def advance(self, ids_Bhw: Tensor, past: FakePast) -> tuple[FakePast, FakeProposal]:
        past = self.commit(past, FakePresent(ids_Bhw.flatten(1)))
        return past, self.propose(torch.full_like(ids_Bhw, self.vocabulary.mask), past)[0]

    def next_token(self, ids_Bn: Tensor, past: FakePast) -> FakeProposal:
        self.passes += 1
        number = ids_Bn.shape[1]
        before_B = ids_Bn[:, -1] if number else past.last_BN[:, -1]
        log_p = self.log_p[past.text_B, before_B, past.last_BN[:, number]]
        return FakeProposal(log_p[:, None, None], self.vocabulary)


def fake_prior(digits: tuple[int, ...] = (3, 2), sharpness: float = 1.0, seed: int = 0) -> FakePrior:
    """Random tables; the sharper, the surer."""
    size = Vocabulary(digits).size
    logits = torch.randn(2, size + 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return FakePrior(digits, (logits * sharpness).log_softmax(-1))


def plain_prior(probabilities: list[float], told: list[float] | None = None) -> FakePrior:
    """One digit, the same distribution whatever the context; another one where there is a text."""
    rows = torch.tensor([probabilities, probabilities if told is None else told], dtype=torch.float64).log()
    size = len(probabilities)
    return FakePrior((size,), rows[:, None, None, :].expand(2, size + 1, size, size))
