"""A prior whose probabilities are known: a token depends on the token before it in decode order (or on its being
unknown), on the token at the same position of the last frame, and on whether the stream has text.

It implements `interfaces.prior`, counts the forward passes of a network, and records its inputs. Tests write a token as
one integer, its packed codes, and an unknown token as `prior.unknown`.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, TokenSource
from interfaces.tokens import TokenGroup, TokenSpec
from prior.heads.token_sampling import log_probability, sample_codes
from sampling.autoregressive import autoregressive
from sampling.maskgit import LatentFrame, SampledFrame, maskgit


class FakePast(NamedTuple):
    text_B: Tensor  # int64, 1 where there is a text
    last_BN: Tensor  # the last frame; 0 before the first
    frames: Tensor


class FakePresent(NamedTuple):
    ids_BN: Tensor


@dataclass(frozen=True)
class FakeProposal:
    log_p: Tensor  # [B, N, size], or [B, M, size]
    codebooks: tuple[int, ...]

    def logits(self, known_codes: Tensor) -> Tensor:
        """The exact conditional distribution of the next code given the first k codes."""
        every = unpack(torch.arange(math.prod(self.codebooks)), self.codebooks)
        place = known_codes.shape[-1]
        possible = (every[:, :place] == known_codes.unsqueeze(-2)).all(-1)
        left = self.log_p.masked_fill(~possible, -torch.inf)
        columns = [left[..., every[:, place] == value] for value in range(self.codebooks[place])]
        return torch.stack([column.logsumexp(-1) for column in columns], -1).float()

    def sample(self, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        return sample_codes(self.logits, len(self.codebooks), settings, rng)

    def log_probability(self, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        return log_probability(self.logits, codes_BMK, settings)

    def at(self, positions_BM: Tensor) -> "FakeProposal":
        return FakeProposal(
            self.log_p.gather(1, positions_BM[..., None].expand(-1, -1, self.log_p.shape[-1])), self.codebooks
        )


@dataclass
class FakePrior:
    """`log_p` float64 [2, size + 1, size, size]: of text, the token before (size: unknown), the last frame's token."""

    codebooks: tuple[int, ...]
    log_p: Tensor
    shape: tuple[int, ...] = (4, 4)
    passes: int = 0
    inputs: list[Tensor] = field(default_factory=list)  # [B, *shape] of each proposal: packed codes, or `unknown`
    positions: list[Tensor | None] = field(default_factory=list)  # [B, M] of each proposal
    device = torch.device("cpu")
    mask_noise: ClassVar[int] = 0

    @property
    def unknown(self) -> int:
        return math.prod(self.codebooks)

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(self.codebooks, (TokenGroup("tokens", self.shape),), 4)

    def begin(self, text, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0) -> FakePast:
        """`text` bool [B]: which streams have one; None: none."""
        text_B = torch.zeros(batch, dtype=torch.int64) if text is None else text.long()
        tokens = (spec or self.spec).tokens
        return FakePast(text_B, torch.zeros(batch, tokens, dtype=torch.int64), torch.tensor(0))

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: FakePast,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[FakeProposal, FakePresent]:
        self.passes += 1
        ids_BN = torch.where(known_BN, pack(codes_BNK, self.codebooks), self.unknown)
        self.inputs.append(ids_BN.unflatten(1, self.shape))
        self.positions.append(positions_BM)
        before_BN = torch.cat([past.last_BN[:, -1:], ids_BN[:, :-1]], 1)
        proposal = FakeProposal(self.log_p[past.text_B[:, None], before_BN, past.last_BN], self.codebooks)
        return (proposal if positions_BM is None else proposal.at(positions_BM)), FakePresent(ids_BN)

    def commit(self, past: FakePast, present: FakePresent) -> FakePast:
        assert (present.ids_BN < self.unknown).all(), "a frame with unknown tokens was committed"
        return FakePast(past.text_B, present.ids_BN, past.frames + 1)

    def advance(
        self, codes_BNK: Tensor, past: FakePast, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[FakePast, FakeProposal]:
        past = self.commit(past, FakePresent(pack(codes_BNK, self.codebooks)))
        return past, self.propose(codes_BNK, torch.zeros(codes_BNK.shape[:2], dtype=torch.bool), past)[0]

    def next_token(self, codes_BnK: Tensor, past: FakePast, control: Tensor | None = None) -> FakeProposal:
        self.passes += 1
        number = codes_BnK.shape[1]
        before_B = pack(codes_BnK[:, -1], self.codebooks) if number else past.last_BN[:, -1]
        log_p = self.log_p[past.text_B, before_B, past.last_BN[:, number]]
        return FakeProposal(log_p[:, None], self.codebooks)


class Packed(NamedTuple):
    """A sampled frame with packed codes."""

    ids: Tensor  # int64 [B, *shape]
    steps_B: Tensor


def pack(codes: Tensor, codebooks: tuple[int, ...]) -> Tensor:
    factors = torch.tensor([1, *codebooks[:-1]]).cumprod(0)
    return (codes * factors).sum(-1)


def unpack(ids: Tensor, codebooks: tuple[int, ...]) -> Tensor:
    codes = []
    for size in codebooks:
        codes.append(ids % size)
        ids = ids // size
    return torch.stack(codes, -1)


def frame_of(prior: FakePrior, ids: Tensor) -> LatentFrame:
    """A frame from packed codes [B, *shape]; all tokens but those that are `prior.unknown` are given."""
    ids_BN = ids.flatten(1)
    return LatentFrame(unpack(ids_BN, prior.codebooks), ids_BN != prior.unknown)


def packed(prior: FakePrior, sampled: SampledFrame) -> Packed:
    return Packed(pack(sampled.codes_BNK, prior.codebooks).unflatten(1, prior.shape), sampled.steps_B)


def run_maskgit(prior: FakePrior, past: FakePast, ids: Tensor, sampler, rng, proposal=None, draft=None) -> Packed:
    """`draft` are the packed codes [B, *shape] of the frame before."""
    draft_BNK = None if draft is None else frame_of(prior, draft).codes_BNK
    sampled = maskgit(prior, past, prior.spec, frame_of(prior, ids), sampler, rng, proposal, draft_BNK)
    return packed(prior, sampled)


def run_autoregressive(prior: FakePrior, past: FakePast, ids: Tensor, sampler, rng) -> Packed:
    return packed(prior, autoregressive(prior, past, frame_of(prior, ids), sampler, rng))


def fake_prior(
    codebooks: tuple[int, ...] = (3, 2), sharpness: float = 1.0, seed: int = 0, shape: tuple[int, ...] = (4, 4)
) -> FakePrior:
    """Random tables; higher sharpness means more confident tokens."""
    size = math.prod(codebooks)
    logits = torch.randn(2, size + 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return FakePrior(codebooks, (logits * sharpness).log_softmax(-1), shape)


def plain_prior(
    probabilities: list[float], with_text: list[float] | None = None, shape: tuple[int, ...] = (4, 4)
) -> FakePrior:
    """One codebook and one distribution in any context, another one with text."""
    rows = torch.tensor([probabilities, with_text or probabilities], dtype=torch.float64).log()
    size = len(probabilities)
    return FakePrior((size,), rows[:, None, None, :].expand(2, size + 1, size, size), shape)
