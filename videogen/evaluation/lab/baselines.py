"""What else one could do with the same weights: a prior without a cache."""

from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.config import PriorConfig
from prior.heads.base import TokenProposal
from prior.model import LlamaPrior


class WindowCodes(NamedTuple):
    """A past that holds the codes of its window alone."""

    text: Text | None
    history_noise: float
    spec: TokenSpec
    codes_BTNK: Tensor


class PriorWithoutCache:
    """Keeps the promise of a FramePrior by computing the context and the whole window again for every proposal.

    While no frame has left the window its answers are those of the prior inside. Later they lack what older frames told
    those in the window, as in every model without a cache.
    """

    def __init__(self, prior: LlamaPrior):
        self.prior = prior

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def spec(self) -> TokenSpec:
        return self.prior.spec

    @property
    def config(self) -> PriorConfig:
        return self.prior.config

    def begin(
        self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0
    ) -> WindowCodes:
        spec = self.spec if spec is None else spec
        return WindowCodes(text, history_noise, spec, spec.empty(batch, device=self.device))

    @torch.no_grad()
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: WindowCodes,
        control: Tensor | None = None,
        places_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Tensor]:
        assert control is None, "the baseline is measured without controls"
        codes_BTNK = torch.cat([past.codes_BTNK, codes_BNK.unsqueeze(1)], 1)
        known_BTN = torch.ones(codes_BTNK.shape[:3], dtype=torch.bool, device=codes_BNK.device)
        known_BTN[:, -1] = known_BN
        cache = self.prior.begin(past.text, len(codes_BNK), past.spec, past.history_noise)
        x_BSC = self.prior.embed_frames(self.prior.embedding.tokens(codes_BTNK, known_BTN), past.spec, None)
        features, _, _ = self.prior.stream(x_BSC, cache, 0, None)
        proposal = TokenProposal(features, self.prior.head)
        return (proposal if places_BM is None else proposal.at(places_BM)), codes_BNK

    def commit(self, past: WindowCodes, present: Tensor) -> WindowCodes:
        codes_BTNK = torch.cat([past.codes_BTNK, present.unsqueeze(1)], 1)
        return past._replace(codes_BTNK=codes_BTNK[:, -self.prior.config.window :])

    def advance(
        self, codes_BNK: Tensor, past: WindowCodes, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[WindowCodes, TokenProposal]:
        past = self.commit(past, codes_BNK)
        nothing = torch.zeros(codes_BNK.shape[:2], dtype=torch.bool, device=codes_BNK.device)
        return past, self.propose(codes_BNK, nothing, past, next_control)[0]
