"""The base class of wrappers around a prior: it delegates every call."""

from typing import Any

import torch
from torch import Tensor

from interfaces.prior import Proposal, Text
from interfaces.tokens import TokenSpec
from prior.network import PriorNetwork


class PriorWrapper:
    """An AutoregressivePrior that delegates every call to `prior`; override what differs."""

    def __init__(self, prior: PriorNetwork):
        self.prior = prior

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def spec(self) -> TokenSpec:
        return self.prior.spec

    @property
    def config(self) -> Any:
        return self.prior.config

    @property
    def norm(self) -> torch.nn.Module:
        return self.prior.norm

    @property
    def mask_noise(self) -> int:
        return self.prior.mask_noise

    def with_mask_noise(self, past: Any, noise_BNR: Tensor) -> Any:
        return self.prior.with_mask_noise(past, noise_BNR)

    def check_begin(self, spec: TokenSpec) -> None:
        self.prior.check_begin(spec)

    def begin(self, text: Text | None, batch: int, spec: TokenSpec | None = None, history_noise: float = 0.0) -> Any:
        return self.prior.begin(text, batch, spec, history_noise)

    def propose(
        self,
        codes_BNK: Tensor,
        known_BN: Tensor,
        past: Any,
        control: Tensor | None = None,
        positions_BM: Tensor | None = None,
    ) -> tuple[Proposal, Any]:
        return self.prior.propose(codes_BNK, known_BN, past, control, positions_BM)

    def commit(self, past: Any, present: Any) -> Any:
        return self.prior.commit(past, present)

    def advance(
        self, codes_BNK: Tensor, past: Any, control: Tensor | None = None, next_control: Tensor | None = None
    ) -> tuple[Any, Proposal]:
        return self.prior.advance(codes_BNK, past, control, next_control)

    def next_token(self, codes_BnK: Tensor, past: Any, control: Tensor | None = None) -> Proposal:
        return self.prior.next_token(codes_BnK, past, control)
