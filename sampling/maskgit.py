"""A latent frame in a few proposals: each decides many tokens, and the next is asked with them known.

Published as Chang et al., "MaskGIT: masked generative image transformer" (2022). Where tokens come in groups, coarse
before fine, one group is decided after the other.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from interfaces.prior import DrawSettings, FramePrior, Proposal
from interfaces.tokens import TokenGroup, TokenSpec
from sampling.config import SamplerConfig
from sampling.guidance import duplicate_for_guidance, guidance_scale
from sampling.orders import STATIC_ORDERS, RevealState, to_reveal
from sampling.rng import CounterRNG, StepRNG
from sampling.schedule import masked_after

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class LatentFrame(NamedTuple):
    """A latent frame of each stream that is to be decided."""

    codes_BNK: Tensor
    known_BN: Tensor  # bool: the tokens that are given
    control: Tensor | None = None


class SampledFrame(NamedTuple):
    """A decided latent frame of each stream, and what it cost."""

    codes_BNK: Tensor
    steps_B: Tensor  # int64: how many proposals each sample needed; 0 where the whole frame was given


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
    """Decide the tokens that are not known, group after group; `proposal` is that for this frame, if there is one."""
    steps_B = torch.zeros(len(frame.codes_BNK), dtype=torch.int64, device=frame.codes_BNK.device)
    for group, tokens in zip(spec.groups, spec.slices, strict=True):
        frame, steps = decide_group(prior, past, frame, group, tokens, sampler, rng, proposal)
        steps_B, proposal = steps_B + steps, None
    return SampledFrame(frame.codes_BNK, steps_B)


def decide_group(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    frame: LatentFrame,
    group: TokenGroup,
    tokens: slice,
    sampler: SamplerConfig,
    rng: CounterRNG,
    proposal: Proposal | None,
) -> tuple[LatentFrame, Tensor]:
    """The latent frame with this group decided, and the proposals that each sample needed.

    A sample that is done stays as it is while others go on, so each gets what it would get alone. Tokens are drawn only
    where they may be kept: code by code, that costs as much as a layer of a small prior.
    """
    codes_BNK, known_BN, control = frame
    static, counts = sampler.order in STATIC_ORDERS, (~known_BN[:, tokens]).sum(1).tolist()
    steps = tuple(sampler.steps_of(count) for count in counts)
    steps_B = torch.zeros(len(codes_BNK), dtype=torch.int64, device=codes_BNK.device)
    control = None if control is None else duplicate_for_guidance(control, sampler)
    for step, turn in enumerate(plan(counts, sampler, codes_BNK.device)):
        unknown_BN = ~known_BN[:, tokens]
        if sampler.order == "threshold" and not unknown_BN.any():
            break  # the only order that may be done before its plan: no other waits for the answer
        confidence_BN = torch.zeros(unknown_BN.shape, device=codes_BNK.device)
        state = RevealState(confidence_BN, group.shape, step, steps, tokens.start, sampler, rng)
        due_BN = to_reveal(state, unknown_BN, turn.masked_B) if static else unknown_BN
        places_BM = select_positions(due_BN, turn.due if static else turn.unknown)
        asked_BM = duplicate_for_guidance(places_BM + tokens.start, sampler)
        if step > 0 or proposal is None:
            inputs = duplicate_for_guidance(codes_BNK, sampler), duplicate_for_guidance(known_BN, sampler)
            asked, _ = prior.propose(*inputs, past, control, asked_BM)
        else:
            asked = proposal.at(asked_BM)
        scale = guidance_scale(sampler, (step,) * len(steps), steps, codes_BNK.device)
        settings = draw_settings(sampler, scale, confidence=not static)
        drawn_BMK, confidence_BM = asked.sample(settings, StepRNG(rng, tokens.start + step, group.shape, places_BM))
        if not static:
            state = state._replace(confidence_BN=confidence_BN.scatter(1, places_BM, confidence_BM))
            due_BN = to_reveal(state, unknown_BN, turn.masked_B)
        codes_BNK, known_BN = reveal(codes_BNK, known_BN, tokens, due_BN, places_BM, drawn_BMK)
        steps_B = steps_B + unknown_BN.any(1)
    return frame._replace(codes_BNK=codes_BNK, known_BN=known_BN), steps_B


class RevealStep(NamedTuple):
    """A step of the plan."""

    masked_B: Tensor  # int64: how many tokens of each sample may still be masked after it
    unknown: int  # tokens of a sample that may be masked before it, at most
    due: int  # and that are decided in it


def plan(counts: Sequence[int], sampler: SamplerConfig, device: torch.device) -> Iterator[RevealStep]:
    """For so many masked tokens of each sample; after it none is masked. All is known beforehand, so that nothing waits
    for a GPU to count."""
    most = max(sampler.steps_of(count) for count in counts)
    masked = [masked_after(sampler.schedule, count, sampler.steps_of(count)) for count in counts]
    left = [tuple(counts), *zip(*(row + (0,) * (most - len(row)) for row in masked), strict=True)]
    masked_SB = torch.tensor(left[1:], device=device)
    for (before, after), masked_B in zip(pairwise(left), masked_SB, strict=True):
        yield RevealStep(masked_B, max(before), max(was - now for was, now in zip(before, after, strict=True)))


def draw_settings(sampler: SamplerConfig, scale: float | Tensor | None, confidence: bool) -> DrawSettings:
    return DrawSettings(sampler.temperature, sampler.top_k, sampler.top_p, scale, confidence)


def select_positions(wanted_BN: Tensor, count: int) -> Tensor:
    """int64 [B, M]: the tokens that are wanted, in decode order and at most `count`, and then others.

    Two at least: matrices may take another way for one token alone, and a sample would differ from itself in a batch.
    """
    return wanted_BN.byte().argsort(dim=1, descending=True, stable=True)[:, : max(count, 2)]


def reveal(
    codes_BNK: Tensor, known_BN: Tensor, tokens: slice, due_BN: Tensor, places_BM: Tensor, drawn_BMK: Tensor
) -> tuple[Tensor, Tensor]:
    """Codes and known tokens once what is due of a group is as it was drawn."""
    old_BNK = codes_BNK[:, tokens]
    drawn_BNK = old_BNK.scatter(1, places_BM.unsqueeze(-1).expand_as(drawn_BMK), drawn_BMK.to(old_BNK.dtype))
    new_BNK = torch.where(due_BN.unsqueeze(-1), drawn_BNK, old_BNK)
    if new_BNK.shape == codes_BNK.shape:
        return new_BNK, known_BN | due_BN
    codes_BNK, known_BN = codes_BNK.clone(), known_BN.clone()
    codes_BNK[:, tokens], known_BN[:, tokens] = new_BNK, known_BN[:, tokens] | due_BN
    return codes_BNK, known_BN
