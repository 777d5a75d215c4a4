"""Codes a latent frame token by token, in the steps in which it would be sampled: what a codec does with a prior.

A coder decides each code in place of random numbers. It writes the codes of a given latent frame, or reads them back;
both ways make the same proposals, of the same tokens in the same order.
"""

from typing import Protocol, TypeVar

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, FramePrior, Proposal, TokenCoder
from interfaces.tokens import TokenSpec
from sampling.config import SamplerConfig
from sampling.maskgit import reveal, select_positions
from sampling.orders import STATIC_ORDERS, RevealState, to_reveal
from sampling.plan import group_plans
from sampling.rng import counter_rng
from sampling.rollout import as_autoregressive

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")
AS_MODELLED = DrawSettings(score="none")  # the probabilities of the prior itself: temperature 1, no guidance


class FrameCoder(Protocol):
    """Decides the codes of one latent frame."""

    def at(self, positions_BM: Tensor, due_BM: Tensor) -> TokenCoder:
        """For these tokens in decode order; the codes of those that are not due are not needed."""


@torch.no_grad()
def code_frame(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    spec: TokenSpec,
    sampler: SamplerConfig,
    coder: FrameCoder,
    control: Tensor | None = None,
    proposal: Proposal | None = None,
) -> Tensor:
    """The codes [1, N, K] of the next latent frame of one stream; `proposal` saves the first forward pass.

    ValueError for an order that looks at codes before it decides which of them to reveal.
    """
    codes_BNK = spec.empty(1, 1, prior.device)[:, 0]
    if sampler.order == "autoregressive":
        return code_autoregressively(prior, past, codes_BNK, coder, control)
    if sampler.order not in STATIC_ORDERS:
        raise ValueError(
            f"order = {sampler.order} depends on the codes; a codec takes one of {', '.join(STATIC_ORDERS)}"
        )
    known_BN = torch.zeros(codes_BNK.shape[:2], dtype=torch.bool, device=prior.device)
    rng = counter_rng([0], 0, prior.device)  # of the order `random`
    for group in group_plans(known_BN, spec, sampler):
        tokens = group.tokens
        for step, plan_step in enumerate(group.plan_steps):
            unknown_BN = ~known_BN[:, tokens]
            none_BN = torch.zeros(unknown_BN.shape, device=prior.device)
            state = RevealState(none_BN, group.shape, step, group.steps, tokens.start, sampler, rng)
            due_BN = to_reveal(state, unknown_BN, plan_step.masked_B)
            positions_BM = select_positions(due_BN, plan_step.due)
            query_BM = positions_BM + tokens.start
            if proposal is None:
                proposal, _ = prior.propose(codes_BNK, known_BN, past, control, query_BM)
            else:
                proposal = proposal.at(query_BM)
            decided_BMK, _ = proposal.sample(AS_MODELLED, coder.at(query_BM, due_BN.gather(1, positions_BM)))
            codes_BNK, known_BN = reveal(codes_BNK, known_BN, tokens, due_BN, positions_BM, decided_BMK)
            proposal = None
    return codes_BNK


def code_autoregressively(
    prior: FramePrior[PastT, PresentT], past: PastT, codes_BNK: Tensor, coder: FrameCoder, control: Tensor | None
) -> Tensor:
    by_token, due_B1 = as_autoregressive(prior), torch.ones(1, 1, dtype=torch.bool, device=codes_BNK.device)
    for position in range(codes_BNK.shape[1]):
        proposal = by_token.next_token(codes_BNK[:, :position], past, control)
        token = coder.at(torch.full_like(due_B1, position, dtype=torch.int64), due_B1)
        codes_BNK[:, position : position + 1], _ = proposal.sample(AS_MODELLED, token)
    return codes_BNK
