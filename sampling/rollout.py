"""Samples one latent frame after the other: `sample_frame` takes the state of a rollout and returns the next one.

One forward pass commits a frame and makes the first proposal for the next one, so a frame takes as many passes as
steps. The last frame is not committed: nothing would read it.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from interfaces.prior import AutoregressivePrior, FramePrior, clone_tensors
from interfaces.tokens import TokenSpec
from sampling.autoregressive import autoregressive
from sampling.config import SamplerConfig
from sampling.guidance import control_for_guidance, duplicate_for_guidance
from sampling.maskgit import LatentFrame, SampledFrame, maskgit
from sampling.rng import counter_rng

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class Rollout(NamedTuple, Generic[PastT]):
    """The state of a rollout. `sample_frame` mutates the past in place; `copy_rollout` makes a copy.

    To continue with another text, replace `past` by one with that text and all frames so far, and `last` by None.
    """

    past: PastT  # all latent frames except the last
    last: LatentFrame | None  # the last one, sampled but not yet committed
    spec: TokenSpec
    seeds: tuple[int, ...]
    frame: int  # number of the next latent frame
    scene: int = 0  # number of the first latent frame of the scene
    previous_BNK: Tensor | None = None  # codes of the latent frame before the next one, if there is one


def start_rollout(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    seeds: Sequence[int],
    spec: TokenSpec | None = None,
    first_frame: int = 0,
    previous_BNK: Tensor | None = None,
) -> Rollout[PastT]:
    """The state before the first latent frame, whose number is `first_frame`; one sample for each seed.

    `previous_BNK` are the codes of the latent frame before it, if there is one: `draft_threshold` copies from them.
    With guidance, the past has twice as many streams: with text or control, then without.
    """
    if not seeds:
        raise ValueError("seeds = []: nothing would be sampled")
    return Rollout(past, None, prior.spec if spec is None else spec, tuple(seeds), first_frame, 0, previous_BNK)


@torch.no_grad()
def sample_frame(
    prior: FramePrior[PastT, PresentT],
    rollout: Rollout[PastT],
    sampler: SamplerConfig,
    given: LatentFrame | None = None,
    control: Tensor | None = None,
) -> tuple[Rollout[PastT], SampledFrame]:
    """Samples the next latent frame; `given` holds tokens that it must have."""
    past, last, spec, seeds, number, scene, previous_BNK = rollout
    sampler = sampler.of_frame(number - scene)
    frame = masked_frame(spec, len(seeds), prior.device, control)
    if given is not None:
        frame = check_given(given, frame)._replace(control=control)
    rng = counter_rng(seeds, number, prior.device)
    if prior.mask_noise:
        noise_BNR = rng.mask_noise(spec.tokens, prior.mask_noise)
        past = prior.with_mask_noise(past, duplicate_for_guidance(noise_BNR, sampler))
        rollout = rollout._replace(past=past)
    if sampler.order == "autoregressive":
        past = flush(prior, rollout, sampler)
        sampled = autoregressive(as_autoregressive(prior), past, frame, sampler, rng)
    elif last is not None and (given is None or not frame.known_BN.any()):
        controls = (control_for_guidance(each, sampler) for each in (last.control, control))
        past, proposal = prior.advance(duplicate_for_guidance(last.codes_BNK, sampler), past, *controls)
        sampled = maskgit(prior, past, spec, frame, sampler, rng, proposal, previous_BNK)
    else:
        past = flush(prior, rollout, sampler)
        sampled = maskgit(prior, past, spec, frame, sampler, rng, None, previous_BNK)
    last = LatentFrame(sampled.codes_BNK, torch.ones_like(frame.known_BN), control)
    return Rollout(past, last, spec, seeds, number + 1, scene, sampled.codes_BNK), sampled


def sample_frames(
    prior: FramePrior[PastT, PresentT],
    rollout: Rollout[PastT],
    sampler: SamplerConfig,
    frames: int | None = None,
    given: LatentFrame | None = None,
    control: Tensor | None = None,
) -> Iterator[SampledFrame]:
    """Yields `frames` latent frames, or without end; `given` and `control` [B, T, ...] are those of the first T.

    To continue later, call `sample_frame` yourself and keep the state.
    """
    number = 0
    while frames is None or number < frames:
        frame_control = None if control is None or number >= control.shape[1] else control[:, number]
        frame_given = None
        if given is not None and number < given.codes_BNK.shape[1]:
            frame_given = LatentFrame(given.codes_BNK[:, number], given.known_BN[:, number])
        rollout, sampled = sample_frame(prior, rollout, sampler, frame_given, frame_control)
        number += 1
        yield sampled


@torch.no_grad()
def commit_codes(
    prior: FramePrior[PastT, PresentT], past: PastT, codes_BTNK: Tensor, control: Tensor | None = None
) -> PastT:
    """Commits latent frames to the past; B is the number of its streams, twice the samples with guidance."""
    known_BN = torch.ones(len(codes_BTNK), codes_BTNK.shape[2], dtype=torch.bool, device=codes_BTNK.device)
    for t, codes_BNK in enumerate(codes_BTNK.unbind(1)):
        _, present = prior.propose(codes_BNK, known_BN, past, None if control is None else control[:, t])
        past = prior.commit(past, present)
    return past


def flush(prior: FramePrior[PastT, PresentT], rollout: Rollout[PastT], sampler: SamplerConfig) -> PastT:
    """The past including the last frame."""
    last = rollout.last
    if last is None:
        return rollout.past
    control = control_for_guidance(last.control, sampler)
    control_B1 = None if control is None else control.unsqueeze(1)
    return commit_codes(prior, rollout.past, duplicate_for_guidance(last.codes_BNK, sampler).unsqueeze(1), control_B1)


def copy_rollout(rollout: Rollout[PastT]) -> Rollout[PastT]:
    """A copy that stays unchanged while the original continues; a past is a nested tuple of tensors."""
    return clone_tensors(rollout)


def masked_frame(spec: TokenSpec, batch: int, device: torch.device, control: Tensor | None = None) -> LatentFrame:
    known_BN = torch.zeros(batch, spec.tokens, dtype=torch.bool, device=device)
    return LatentFrame(spec.empty(batch, 1, device)[:, 0], known_BN, control)


def check_given(given: LatentFrame, frame: LatentFrame) -> LatentFrame:
    """The given tokens in `frame`; whatever code stands at an unknown token is dropped, as it may be none."""
    pairs = (("codes", given.codes_BNK, frame.codes_BNK), ("known", given.known_BN, frame.known_BN))
    for name, mine, like in pairs:
        if mine.shape != like.shape or mine.dtype != like.dtype:
            expected = f"{like.dtype} {list(like.shape)}"
            raise ValueError(f"given {name} are {mine.dtype} {list(mine.shape)}; expected {expected}")
    codes_BNK = torch.where(given.known_BN.unsqueeze(-1), given.codes_BNK, frame.codes_BNK)
    return given._replace(codes_BNK=codes_BNK)


def as_autoregressive(prior: FramePrior[PastT, PresentT]) -> AutoregressivePrior[PastT, PresentT]:
    if not hasattr(getattr(prior, "prior", prior), "next_token"):  # a wrapper passes every call on
        kind = type(prior).__name__
        raise ValueError(f"order = autoregressive needs `next_token`, which {kind} does not have; use raster")
    return cast(AutoregressivePrior[PastT, PresentT], prior)
