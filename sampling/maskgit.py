"""Samples a latent frame in a few steps: each step reveals many tokens, which the next one knows.

Published as Chang et al., "MaskGIT: masked generative image transformer" (2022). If tokens have groups, coarse before
fine, one group is sampled after the other.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, FramePrior, Proposal
from interfaces.tokens import TokenSpec
from sampling.config import SamplerConfig
from sampling.guidance import control_for_guidance, duplicate_for_guidance, guidance_scale
from sampling.orders import STATIC_ORDERS, RevealState, to_reveal
from sampling.rng import CounterRNG, StepRNG
from sampling.schedule import masked_after

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
) -> SampledFrame:
    """Samples the unknown tokens, group by group; `proposal` saves the first forward pass."""
    steps_B = torch.zeros(len(frame.codes_BNK), dtype=torch.int64, device=frame.codes_BNK.device)
    for group in group_plans(frame.known_BN, spec, sampler):
        frame, steps = sample_group(prior, past, frame, group, sampler, rng, proposal)
        steps_B, proposal = steps_B + steps, None
    return SampledFrame(frame.codes_BNK, steps_B)


def sample_group(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    frame: LatentFrame,
    group: "GroupPlan",
    sampler: SamplerConfig,
    rng: CounterRNG,
    proposal: Proposal | None,
) -> tuple[LatentFrame, Tensor]:
    """The latent frame with this group sampled, and the steps that each sample took.

    A finished sample stays unchanged while others continue, so each sample gets what it would get alone. Tokens are
    drawn only where this step may reveal them: the head costs as much as a layer of a small prior.
    """
    codes_BNK, known_BN, control = frame
    shape, tokens, steps, plan_steps = group
    static = sampler.order in STATIC_ORDERS
    steps_B = torch.zeros(len(codes_BNK), dtype=torch.int64, device=codes_BNK.device)
    control = control_for_guidance(control, sampler)
    for step, plan_step in enumerate(plan_steps):
        unknown_BN = ~known_BN[:, tokens]
        if sampler.order == "threshold" and not unknown_BN.any():
            break  # only this order can finish early; others need no GPU synchronization
        confidence_BN = torch.zeros(unknown_BN.shape, device=codes_BNK.device)
        state = RevealState(confidence_BN, shape, step, steps, tokens.start, sampler, rng)
        due_BN = to_reveal(state, unknown_BN, plan_step.masked_B) if static else unknown_BN
        positions_BM = select_positions(due_BN, plan_step.due if static else plan_step.unknown)
        query_BM = duplicate_for_guidance(positions_BM + tokens.start, sampler)
        if step > 0 or proposal is None:
            inputs = duplicate_for_guidance(codes_BNK, sampler), duplicate_for_guidance(known_BN, sampler)
            proposed, _ = prior.propose(*inputs, past, control, query_BM)
        else:
            proposed = proposal.at(query_BM)
        scale = guidance_scale(sampler, (step,) * len(steps), steps, codes_BNK.device)
        settings = draw_settings(sampler, scale, confidence=not static)
        drawn_BMK, confidence_BM = proposed.sample(settings, StepRNG(rng, tokens.start + step, shape, positions_BM))
        if not static:
            state = state._replace(confidence_BN=confidence_BN.scatter(1, positions_BM, confidence_BM))
            due_BN = to_reveal(state, unknown_BN, plan_step.masked_B)
        codes_BNK, known_BN = reveal(codes_BNK, known_BN, tokens, due_BN, positions_BM, drawn_BMK)
        steps_B = steps_B + unknown_BN.any(1)
    return frame._replace(codes_BNK=codes_BNK, known_BN=known_BN), steps_B


class RevealStep(NamedTuple):
    """One step of the plan."""

    masked_B: Tensor  # int64: how many tokens of each sample may stay masked after it
    unknown: int  # the most masked tokens of a sample before it
    due: int  # the most tokens of a sample that it reveals


class GroupPlan(NamedTuple):
    """The steps for one group of tokens."""

    shape: tuple[int, ...]
    tokens: slice
    steps: tuple[int, ...]  # of each sample
    plan_steps: tuple[RevealStep, ...]


def group_plans(known_BN: Tensor, spec: TokenSpec, sampler: SamplerConfig) -> list[GroupPlan]:
    """The plans of all groups at once: a GPU is waited for once a latent frame, not once a group."""
    counts_GB = torch.stack([(~known_BN[:, tokens]).sum(1) for tokens in spec.slices]).tolist()
    plans = []
    for group, tokens, counts in zip(spec.groups, spec.slices, counts_GB, strict=True):
        steps = tuple(sampler.steps_of(count) for count in counts)
        plans.append(GroupPlan(group.shape, tokens, steps, tuple(plan(counts, sampler, known_BN.device))))
    return plans


def plan(counts: Sequence[int], sampler: SamplerConfig, device: torch.device) -> Iterator[RevealStep]:
    """The steps for `counts` masked tokens of each sample; computed in advance, without GPU synchronization."""
    most = max(sampler.steps_of(count) for count in counts)
    masked = [masked_after(sampler.schedule, count, sampler.steps_of(count)) for count in counts]
    left = [tuple(counts), *zip(*(row + (0,) * (most - len(row)) for row in masked), strict=True)]
    masked_SB = torch.tensor(left[1:], device=device)
    for (before, after), masked_B in zip(pairwise(left), masked_SB, strict=True):
        yield RevealStep(masked_B, max(before), max(was - now for was, now in zip(before, after, strict=True)))


def draw_settings(sampler: SamplerConfig, scale: float | Tensor | None, confidence: bool) -> DrawSettings:
    return DrawSettings(sampler.temperature, sampler.top_k, sampler.top_p, scale, confidence)


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
