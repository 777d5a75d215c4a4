"""How likely each code of the next latent frame is: what decides how many bits it takes.

prior     the model's prior, told the latent frames before and the prompt; codes in the steps of a sampler
adaptive  how often each code was seen so far, in this scene; for models without a prior
flat      all codes alike: what the tokens cost without a model

Writer and reader use them the same way; a latent frame is seen only after it was coded.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from interfaces.prior import Proposal, Text
from interfaces.tokens import TokenSpec
from prior.network import PriorNetwork
from sampling.coding import code_frame
from sampling.config import SamplerConfig
from sampling.rng import counter_rng
from videogen.codec.range_coder import SymbolCoder

SEEN = 32  # what a code that was seen once counts more than one that was not


@dataclass(frozen=True)
class Coded:
    """Codes one latent frame with a coder; a writer is given the frame's codes [N, K]."""

    coder: SymbolCoder
    codes_NK: Tensor | None

    def at(self, positions_BM: Tensor, due_BM: Tensor) -> "CodedTokens":
        return CodedTokens(self, positions_BM, due_BM)


@dataclass(frozen=True)
class CodedTokens:
    """An `interfaces.prior.TokenCoder` for some tokens of one stream."""

    frame: Coded
    positions_BM: Tensor
    due_BM: Tensor

    def none(self) -> Tensor:
        return torch.zeros(*self.positions_BM.shape, 0, dtype=torch.int64, device=self.positions_BM.device)

    def code(self, probabilities_BMV: Tensor, symbol: Any) -> Tensor:
        """Only tokens that are due are coded; the others are 0."""
        due_M, given = self.due_BM[0], None
        if self.frame.codes_NK is not None:
            given = symbol(self.frame.codes_NK[self.positions_BM[0][due_M]].unsqueeze(0))[0]
        symbols_BM = torch.zeros(self.positions_BM.shape, dtype=torch.int64, device=due_M.device)
        symbols_BM[0, due_M] = self.frame.coder.code(probabilities_BMV[0][due_M], given)
        return symbols_BM


class Probabilities(Protocol):
    def begin(self) -> None:
        """Before the first latent frame of a scene: nothing before it counts."""

    def code(self, frame: Coded) -> Tensor:
        """The codes [N, K] of the next latent frame; they count for those after it."""


class PriorProbabilities:
    """Those of a prior, told a text; one stream, so that its batch is always the same."""

    def __init__(self, prior: PriorNetwork, text: Text | None, spec: TokenSpec, sampler: SamplerConfig):
        self.prior, self.text, self.spec, self.sampler = prior, text, spec, sampler
        self.past: Any = None
        self.last: Tensor | None = None  # codes [1, N, K] that are not committed yet
        self.number = 0  # of the next latent frame of the scene

    def begin(self) -> None:
        self.past, self.last, self.number = self.prior.begin(self.text, 1, self.spec), None, 0

    @torch.no_grad()
    def code(self, frame: Coded) -> Tensor:
        if self.prior.mask_noise:  # any numbers, as long as a reader has the same
            noise_BNR = counter_rng([0], self.number, self.prior.device).mask_noise(
                self.spec.tokens, self.prior.mask_noise
            )
            self.past = self.prior.with_mask_noise(self.past, noise_BNR)
        proposal, self.number = self._remember(), self.number + 1
        self.last = code_frame(self.prior, self.past, self.spec, self.sampler, frame, proposal=proposal)
        return self.last[0]

    def _remember(self) -> Proposal | None:
        """Commits the last latent frame; for the first step of the next one in the same pass where that can be."""
        if self.last is None:
            return None
        if self.sampler.order != "autoregressive":
            self.past, proposal = self.prior.advance(self.last, self.past)
            return proposal
        known_BN = torch.ones(self.last.shape[:2], dtype=torch.bool, device=self.last.device)
        _, present = self.prior.propose(self.last, known_BN, self.past)
        self.past = self.prior.commit(self.past, present)
        return None


class AdaptiveProbabilities:
    """By how often each code was seen in the scene's latent frames before, each place of a token by itself."""

    def __init__(self, spec: TokenSpec):
        self.spec = spec
        self.begin()

    def begin(self) -> None:
        self.counts = [torch.ones(size, dtype=torch.float64) for size in self.spec.codebooks]

    def code(self, frame: Coded) -> Tensor:
        codes_NK = code_by_place(frame, [counts / counts.sum() for counts in self.counts], self.spec)
        for counts, codes_N in zip(self.counts, codes_NK.cpu().unbind(-1), strict=True):
            counts += SEEN * torch.bincount(codes_N, minlength=len(counts))
        return codes_NK


class FlatProbabilities:
    """All codes of a codebook alike."""

    def __init__(self, spec: TokenSpec):
        self.spec = spec
        self.flat = [torch.full((size,), 1 / size, dtype=torch.float64) for size in spec.codebooks]

    def begin(self) -> None:
        pass

    def code(self, frame: Coded) -> Tensor:
        return code_by_place(frame, self.flat, self.spec)


def code_by_place(frame: Coded, probabilities: list[Tensor], spec: TokenSpec) -> Tensor:
    """The codes [N, K] of a latent frame, all tokens of a place with the same probabilities [V]."""
    given = [None] * spec.depth if frame.codes_NK is None else frame.codes_NK.unbind(-1)
    places = [
        frame.coder.code(probabilities_V.expand(spec.tokens, -1), codes_N)
        for probabilities_V, codes_N in zip(probabilities, given, strict=True)
    ]
    return torch.stack(places, -1)
