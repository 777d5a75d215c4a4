"""Samples a latent frame in a few steps: each step reveals many tokens, which the next one knows.

Published as Chang et al., "MaskGIT: masked generative image transformer" (2022). If tokens have groups, coarse before
fine, one group is sampled after the other.
"""

import math
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, FramePrior, Proposal, Score
from interfaces.tokens import TokenSpec
from sampling.config import SamplerConfig
from sampling.guidance import control_for_guidance, duplicate_for_guidance, guidance_scale
from sampling.orders import ADAPTIVE_ORDERS, SCORES, STATIC_ORDERS, RevealState, to_reveal
from sampling.plan import GroupPlan, group_plans, shorten
from sampling.rng import CounterRNG, StepRNG

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class LatentFrame(NamedTuple):
    """A latent frame of each sample, with the tokens that are given."""

    codes_BNK: Tensor
    known_BN: Tensor  # bool
    control: Tensor | None = None


class SampledFrame(NamedTuple):
    """A sampled latent frame of each sample, and its number of steps."""

    codes_BNK: Tensor
    steps_B: Tensor  # int64: the steps that each sample took; 0 if the whole frame was given


@torch.no_grad()
def maskgit(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    spec: TokenSpec,
    frame: LatentFrame,
    sampler: SamplerConfig,
    rng: CounterRNG,
    proposal: Proposal | None = None,
    draft_BNK: Tensor | None = None,
) -> SampledFrame:
    """Samples the unknown tokens, group by group; `proposal` saves the first forward pass.

    With `draft_threshold`, tokens of `draft_BNK`, the latent frame before, are copied where they are probable.
    """
    steps_B = torch.zeros(len(frame.codes_BNK), dtype=torch.int64, device=frame.codes_BNK.device)
    for group in group_plans(frame.known_BN, spec, sampler):
        frame, steps = sample_group(prior, past, frame, group, sampler, rng, proposal, draft_BNK)
        steps_B, proposal = steps_B + steps, None
    return SampledFrame(frame.codes_BNK, steps_B)


def sample_group(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    frame: LatentFrame,
    group: GroupPlan,
    sampler: SamplerConfig,
    rng: CounterRNG,
    proposal: Proposal | None,
    draft_BNK: Tensor | None = None,
) -> tuple[LatentFrame, Tensor]:
    """The latent frame with this group sampled, and the steps that each sample took.

    A finished sample stays unchanged while others continue, so each sample gets what it would get alone. Tokens are
    drawn only where this step may reveal them: the head costs as much as a layer of a small prior.
    """
    steps_B = torch.zeros(len(frame.codes_BNK), dtype=torch.int64, device=frame.codes_BNK.device)
    passes_B = steps_B  # at least so many: one shows what a draft is worth
    if draft_BNK is not None and sampler.draft_threshold is not None and any(group.counts):
        passes_B = (~frame.known_BN[:, group.tokens]).any(1).long()
        frame, group, proposal = accept_draft(prior, past, frame, group, sampler, proposal, draft_BNK)
    codes_BNK, known_BN, control = frame
    tokens, order = group.tokens, sampler.order
    static, score = order in STATIC_ORDERS, SCORES.get(order, "none")
    control = control_for_guidance(control, sampler)
    for step, plan_step in enumerate(group.plan_steps):
        unknown_BN = ~known_BN[:, tokens]
        done = group.done(step)
        if order in ADAPTIVE_ORDERS:  # only these can finish early; others need no GPU synchronization
            left = unknown_BN.sum(1).tolist()
            if not any(left):
                break
            done = group.done_by(left, sampler.schedule) if order == "entropy" else done
        score_BN = torch.zeros(unknown_BN.shape, device=codes_BNK.device)
        state = RevealState(score_BN, group.shape, step, group.steps, tokens.start, sampler, rng)
        due_BN = to_reveal(state, unknown_BN, plan_step.masked_B) if static else unknown_BN
        positions_BM = select_positions(due_BN, plan_step.due if static else plan_step.unknown)
        query_BM = duplicate_for_guidance(positions_BM + tokens.start, sampler)
        if step > 0 or proposal is None:
            inputs = duplicate_for_guidance(codes_BNK, sampler), duplicate_for_guidance(known_BN, sampler)
            proposed, _ = prior.propose(*inputs, past, control, query_BM)
        else:
            proposed = proposal.at(query_BM)
        scale = guidance_scale(sampler, done, group.steps, codes_BNK.device)
        numbers = StepRNG(rng, tokens.start + step, group.shape, positions_BM)
        drawn_BMK, score_BM = proposed.sample(draw_settings(sampler, scale, score), numbers)
        if not static:
            state = state._replace(score_BN=score_BN.scatter(1, positions_BM, score_BM))
            due_BN = to_reveal(state, unknown_BN, plan_step.masked_B)
        codes_BNK, known_BN = reveal(codes_BNK, known_BN, tokens, due_BN, positions_BM, drawn_BMK)
        steps_B = steps_B + unknown_BN.any(1)
    return frame._replace(codes_BNK=codes_BNK, known_BN=known_BN), torch.maximum(steps_B, passes_B)


def accept_draft(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    frame: LatentFrame,
    group: GroupPlan,
    sampler: SamplerConfig,
    proposal: Proposal | None,
    draft_BNK: Tensor,
) -> tuple[LatentFrame, GroupPlan, Proposal]:
    """The frame with the tokens of the draft that the first proposal finds probable, a plan for the others, and the
    proposal, which also serves the first step.

    As the order threshold does, a token is accepted by its log-probability before temperature, top-k and top-p.
    """
    assert sampler.draft_threshold is not None
    codes_BNK, known_BN, control = frame
    device, tokens = codes_BNK.device, group.tokens
    if proposal is None:
        inputs = duplicate_for_guidance(codes_BNK, sampler), duplicate_for_guidance(known_BN, sampler)
        proposal, _ = prior.propose(*inputs, past, control_for_guidance(control, sampler))
    positions_BM = torch.arange(tokens.stop - tokens.start, device=device).expand(len(codes_BNK), -1)
    query_BM, draft_BMK = duplicate_for_guidance(positions_BM + tokens.start, sampler), draft_BNK[:, tokens]
    settings = draw_settings(sampler, guidance_scale(sampler, group.done(0), group.steps, device))
    probable_BM = proposal.at(query_BM).log_probability(draft_BMK, settings) >= math.log(sampler.draft_threshold)
    accepted_BM = probable_BM & ~known_BN[:, tokens]
    codes_BNK, known_BN = reveal(codes_BNK, known_BN, tokens, accepted_BM, positions_BM, draft_BMK)
    group = shorten(group, (~known_BN[:, tokens]).sum(1).tolist(), sampler.schedule, device)
    return frame._replace(codes_BNK=codes_BNK, known_BN=known_BN), group, proposal


def draw_settings(sampler: SamplerConfig, scale: float | Tensor | None, score: Score = "none") -> DrawSettings:
    return DrawSettings(sampler.temperature, sampler.top_k, sampler.top_p, scale, score)


def select_positions(selected_BN: Tensor, count: int) -> Tensor:
    """int64 [B, M]: the selected tokens in decode order, padded with others to M = max(count, 2).

    At least 2, because matrix products of one row may round differently, so that a sample would depend on its batch.
    """
    return selected_BN.byte().argsort(dim=1, descending=True, stable=True)[:, : max(count, 2)]


def reveal(
    codes_BNK: Tensor, known_BN: Tensor, tokens: slice, due_BN: Tensor, positions_BM: Tensor, drawn_BMK: Tensor
) -> tuple[Tensor, Tensor]:
    """Codes and known tokens after the due tokens of a group are set to the drawn codes."""
    old_BNK = codes_BNK[:, tokens]
    drawn_BNK = old_BNK.scatter(1, positions_BM.unsqueeze(-1).expand_as(drawn_BMK), drawn_BMK.to(old_BNK.dtype))
    new_BNK = torch.where(due_BN.unsqueeze(-1), drawn_BNK, old_BNK)
    if new_BNK.shape == codes_BNK.shape:
        return new_BNK, known_BN | due_BN
    codes_BNK, known_BN = codes_BNK.clone(), known_BN.clone()
    codes_BNK[:, tokens], known_BN[:, tokens] = new_BNK, known_BN[:, tokens] | due_BN
    return codes_BNK, known_BN
