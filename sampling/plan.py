"""The steps of a latent frame, planned before the first: how many tokens of each sample stay masked after each step."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from sampling.config import SamplerConfig, Schedule, wrong_group_steps
from sampling.schedule import masked_after


class RevealStep(NamedTuple):
    """One step of the plan."""

    masked_B: Tensor  # int64: how many tokens of each sample may stay masked after it
    unknown: int  # the most masked tokens of a sample before it
    due: int  # the most tokens of a sample that it reveals


class GroupPlan(NamedTuple):
    """The steps for one group of tokens."""

    shape: tuple[int, ...]
    tokens: slice
    counts: tuple[int, ...]  # masked tokens of each sample
    steps: tuple[int, ...]  # of each sample
    plan_steps: tuple[RevealStep, ...]

    def done(self, step: int) -> tuple[int, ...]:
        """The number of steps that each sample has done before this one."""
        return (step,) * len(self.steps)

    def done_by(self, left: Sequence[int], schedule: Schedule) -> tuple[int, ...]:
        """The number of steps after which the schedule has no fewer tokens masked than each sample has left."""
        triples = zip(self.counts, self.steps, left, strict=True)
        return tuple(sum(masked >= rest for masked in masked_after(schedule, *pair)) for *pair, rest in triples)


def group_plans(known_BN: Tensor, spec: TokenSpec, sampler: SamplerConfig) -> list[GroupPlan]:
    """The plans of all groups at once: a GPU is waited for once a latent frame, not once a group."""
    if (why := wrong_group_steps(sampler, len(spec.groups))) is not None:
        raise ValueError(why)
    counts_GB = torch.stack([(~known_BN[:, tokens]).sum(1) for tokens in spec.slices]).tolist()
    plans = []
    for number, (group, tokens, counts) in enumerate(zip(spec.groups, spec.slices, counts_GB, strict=True)):
        steps = tuple(sampler.steps_of(count, number) for count in counts)
        planned = tuple(plan(counts, steps, sampler.schedule, known_BN.device))
        plans.append(GroupPlan(group.shape, tokens, tuple(counts), steps, planned))
    return plans


def shorten(group: GroupPlan, left: Sequence[int], schedule: Schedule, device: torch.device) -> GroupPlan:
    """The plan for the tokens that are left: in proportion, rounded up, as many steps as for all of them."""
    triples = zip(group.counts, group.steps, left, strict=True)
    steps = tuple(-(-steps * rest // max(count, 1)) for count, steps, rest in triples)
    return group._replace(counts=tuple(left), steps=steps, plan_steps=tuple(plan(left, steps, schedule, device)))


def plan(counts: Sequence[int], steps: Sequence[int], schedule: Schedule, device: torch.device) -> Iterator[RevealStep]:
    """The steps for `counts` masked tokens of each sample; computed in advance, without GPU synchronization."""
    most = max(steps)
    masked = [masked_after(schedule, count, each) for count, each in zip(counts, steps, strict=True)]
    left = [tuple(counts), *zip(*(row + (0,) * (most - len(row)) for row in masked), strict=True)]
    masked_SB = torch.tensor(left[1:], device=device)
    for (before, after), masked_B in zip(pairwise(left), masked_SB, strict=True):
        yield RevealStep(masked_B, max(before), max(was - now for was, now in zip(before, after, strict=True)))
