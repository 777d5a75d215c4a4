"""A baseline with the same weights: a prior without a KV cache."""

from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from prior.heads.base import TokenProposal
from prior.model import LlamaPrior
from prior.wrappers import PriorWrapper


class UncachedPast(NamedTuple):
    """The codes of the window."""

    text: Text | None
    history_noise: float
    spec: TokenSpec
    codes_BTNK: Tensor
    mask_noise: Tensor | None = None  # [B, N, R] of the next latent frame


class UncachedPrior(PriorWrapper):
    """A Llama that recomputes the text and the whole window for every proposal.

    Until the first latent frame leaves the window, its proposals equal those of the wrapped prior. Later they lose what
    older latent frames passed on to those in the window, as in every model without a cache.
    """

    prior: LlamaPrior

    def begin(
        self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0
    ) -> UncachedPast:
        spec = self.spec if spec is None else spec
        return UncachedPast(text, history_noise, spec, spec.empty(batch, device=self.device))

    def with_mask_noise(self, past: UncachedPast, noise_BNR: Tensor) -> UncachedPast:
        return past._replace(mask_noise=noise_BNR)

    @torch.no_grad()
    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: UncachedPast,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[TokenProposal, Tensor]:
        assert control is None, "the baseline is measured without controls"
        codes_BTNK = torch.cat([past.codes_BTNK, codes_BNK.unsqueeze(1)], 1)
        known_BTN = torch.ones(codes_BTNK.shape[:3], dtype=torch.bool, device=codes_BNK.device)
        known_BTN[:, -1] = known_BN
        cache = self.prior.begin(past.text, len(codes_BNK), past.spec, past.history_noise)
        noise = None if past.mask_noise is None else past.mask_noise.unsqueeze(1)
        x_BSC = self.prior.embed_frames(self.prior.embedding.tokens(codes_BTNK, known_BTN, noise), past.spec, None)
        features, _, _ = self.prior.stream(x_BSC, cache, 0, None)
        proposal = TokenProposal(features, self.prior.head)
        return (proposal if positions_BM is None else proposal.at(positions_BM)), codes_BNK

    def commit(self, past: UncachedPast, present: Tensor) -> UncachedPast:
        codes_BTNK = torch.cat([past.codes_BTNK, present.unsqueeze(1)], 1)
        return past._replace(codes_BTNK=codes_BTNK[:, -self.prior.config.window :])

    def advance(
        self, codes_BNK: Tensor, past: UncachedPast, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[UncachedPast, TokenProposal]:
        past = self.commit(past, codes_BNK)
        nothing = torch.zeros(codes_BNK.shape[:2], dtype=torch.bool, device=codes_BNK.device)
        return past, self.propose(codes_BNK, nothing, past, next_control)[0]
