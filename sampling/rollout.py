"""Latent frame after latent frame, without end. A rollout's state is a record: `step` takes one and gives the next.

A decided frame is committed together with the first proposal of the next one, in one pass: so a frame costs as many
passes as it has proposals. The last frame is not committed: nothing would read it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from interfaces.prior import AutoregressivePrior, FramePrior
from interfaces.tokens import TokenSpec
from sampling.autoregressive import autoregressive
from sampling.config import SamplerConfig
from sampling.guidance import duplicate_for_guidance
from sampling.maskgit import LatentFrame, SampledFrame, maskgit
from sampling.rng import counter_rng

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class Rollout(NamedTuple, Generic[PastT]):
    """All that the future depends on, beside prior and sampler. `step` mutates the past; `copied` keeps a rollout.

    To go on under another text, replace `past` by one of that text that remembers the same frames, and `last` by None.
    """

    past: PastT  # every latent frame but the last
    last: LatentFrame | None  # the last one, decided but not yet part of the past
    spec: TokenSpec
    seeds: tuple[int, ...]
    frame: int  # number of the latent frame to be decided next
    scene: int = 0  # number of the latent frame that the scene began with


def start(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    seeds: Sequence[int],
    spec: TokenSpec | None = None,
    first_frame: int = 0,
) -> Rollout[PastT]:
    """Before the first latent frame of as many streams as there are seeds; frames are counted from `first_frame`.

    The past is of these streams, or of twice as many (with the text, then without) for a sampler that guides.
    """
    if not seeds:
        raise ValueError("seeds = []: nothing would be sampled")
    return Rollout(past, None, prior.spec if spec is None else spec, tuple(seeds), first_frame)


@torch.no_grad()
def step(
    prior: FramePrior[PastT, PresentT],
    rollout: Rollout[PastT],
    sampler: SamplerConfig,
    given: LatentFrame | None = None,
    control: Tensor | None = None,
) -> tuple[Rollout[PastT], SampledFrame]:
    """Decide one more latent frame; `given` holds tokens that it must have, `control` is its control."""
    past, last, spec, seeds, number, scene = rollout
    sampler = sampler.of_frame(number - scene)
    frame = nothing_known(spec, len(seeds), prior.device, control)
    if given is not None:
        frame = checked(given, frame)._replace(control=control)
    rng = counter_rng(seeds, number, prior.device)
    if sampler.order == "autoregressive":
        past = flush(prior, rollout, sampler)
        sampled = autoregressive(as_autoregressive(prior), past, frame, sampler, rng)
    elif last is not None and (given is None or not frame.known_BN.any()):
        controls = (None if each is None else duplicate_for_guidance(each, sampler) for each in (last.control, control))
        past, proposal = prior.advance(duplicate_for_guidance(last.codes_BNK, sampler), past, *controls)
        sampled = maskgit(prior, past, spec, frame, sampler, rng, proposal)
    else:
        past = flush(prior, rollout, sampler)
        sampled = maskgit(prior, past, spec, frame, sampler, rng)
    last = LatentFrame(sampled.codes_BNK, torch.ones_like(frame.known_BN), control)
    return Rollout(past, last, spec, seeds, number + 1, scene), sampled


def roll_out(
    prior: FramePrior[PastT, PresentT],
    rollout: Rollout[PastT],
    sampler: SamplerConfig,
    frames: int | None = None,
    given: LatentFrame | None = None,
    control: Tensor | None = None,
) -> Iterator[SampledFrame]:
    """So many latent frames, or endlessly; `given` and `control` [B, T, ...] are those of the first T of them.

    It may be left at any time. To go on from a place later, keep the records that `step` gives.
    """
    number = 0
    while frames is None or number < frames:
        told = None if control is None or number >= control.shape[1] else control[:, number]
        must = None
        if given is not None and number < given.codes_BNK.shape[1]:
            must = LatentFrame(given.codes_BNK[:, number], given.known_BN[:, number])
        rollout, sampled = step(prior, rollout, sampler, must, told)
        number += 1
        yield sampled


@torch.no_grad()
def remember(
    prior: FramePrior[PastT, PresentT], past: PastT, codes_BTNK: Tensor, control: Tensor | None = None
) -> PastT:
    """Make decided frames part of the past; B is the number of its streams: twice the samples if it is for guidance."""
    known_BN = torch.ones(len(codes_BTNK), codes_BTNK.shape[2], dtype=torch.bool, device=codes_BTNK.device)
    for t, codes_BNK in enumerate(codes_BTNK.unbind(1)):
        _, present = prior.propose(codes_BNK, known_BN, past, None if control is None else control[:, t])
        past = prior.commit(past, present)
    return past


def flush(prior: FramePrior[PastT, PresentT], rollout: Rollout[PastT], sampler: SamplerConfig) -> PastT:
    """The past with the last frame in it, for other uses than to go on."""
    last = rollout.last
    if last is None:
        return rollout.past
    control = None if last.control is None else duplicate_for_guidance(last.control, sampler).unsqueeze(1)
    return remember(prior, rollout.past, duplicate_for_guidance(last.codes_BNK, sampler).unsqueeze(1), control)


def copied(rollout: Rollout[PastT]) -> Rollout[PastT]:
    """A copy that stays as it is while the original goes on; a past is a nested tuple of tensors."""
    return cast(Rollout[PastT], cloned(rollout))


def cloned(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.clone()
    if not isinstance(tree, tuple):
        return tree
    branches = [cloned(each) for each in tree]
    return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)


def nothing_known(spec: TokenSpec, batch: int, device: torch.device, control: Tensor | None = None) -> LatentFrame:
    known_BN = torch.zeros(batch, spec.tokens, dtype=torch.bool, device=device)
    return LatentFrame(spec.empty(batch, 1, device)[:, 0], known_BN, control)


def checked(given: LatentFrame, frame: LatentFrame) -> LatentFrame:
    pairs = (("codes", given.codes_BNK, frame.codes_BNK), ("known", given.known_BN, frame.known_BN))
    for name, mine, like in pairs:
        if mine.shape != like.shape or mine.dtype != like.dtype:
            expected = f"{like.dtype} {list(like.shape)}"
            raise ValueError(f"given {name} are {mine.dtype} {list(mine.shape)}; expected {expected}")
    return given


def as_autoregressive(prior: FramePrior[PastT, PresentT]) -> AutoregressivePrior[PastT, PresentT]:
    if not hasattr(prior, "next_token"):
        kind = type(prior).__name__
        raise ValueError(f"order = autoregressive asks token by token, which {kind} cannot answer; use raster")
    return cast(AutoregressivePrior[PastT, PresentT], prior)
