"""Frame after frame, without end. The state of a rollout is a record: `step` takes one and gives the next.

A decided frame is not committed at once but together with the first question about the next one, in one pass: so a
frame costs as many passes as it has proposals, and the last frame of all is never committed for nobody.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from prior.interface import FramePrior, RasterPrior
from prior.vocabulary import Vocabulary
from sampling.chance import chance_of
from sampling.config import SamplerConfig
from sampling.decided import Decided
from sampling.guidance import for_streams
from sampling.maskgit import maskgit
from sampling.raster import raster

PastT = TypeVar("PastT")
PresentT = TypeVar("PresentT")


class Rollout(NamedTuple, Generic[PastT]):
    """All that the future depends on, beside prior and sampler. Going on uses the past up; `copied` keeps one.

    To go on under another text, replace `past` by one of that text that remembers the same frames, all but the last.
    """

    past: PastT  # every frame but the last
    last_Bhw: Tensor | None  # the last frame, decided but not yet part of the past
    masks_Bhw: Tensor  # a frame of which nothing is known
    seeds: tuple[int, ...]
    frame: int  # number of the frame to be decided next
    scene: int = 0  # number of the frame that the scene began with


def start(
    prior: FramePrior[PastT, PresentT],
    past: PastT,
    seeds: Sequence[int],
    grid: tuple[int, int],
    device: torch.device | str = "cpu",
    first_frame: int = 0,
) -> Rollout[PastT]:
    """Before the first frame of as many streams as there are seeds; frames are counted from `first_frame`.

    The past is of these streams, or of twice as many (with the text, then without) for a sampler that guides.
    """
    if not seeds or min(grid) < 1:
        raise ValueError(f"seeds = {list(seeds)}, grid = {grid}: nothing would be sampled")
    masks_Bhw = torch.full((len(seeds), *grid), prior.vocabulary.mask, device=device)
    return Rollout(past, None, masks_Bhw, tuple(seeds), first_frame)


@torch.no_grad()
def step(
    prior: FramePrior[PastT, PresentT],
    rollout: Rollout[PastT],
    sampler: SamplerConfig,
    given_Bhw: Tensor | None = None,
) -> tuple[Rollout[PastT], Decided]:
    """Decide one more frame; `given_Bhw` holds the ids that it must have, and masks elsewhere."""
    past, last_Bhw, masks_Bhw, seeds, frame, scene = rollout
    sampler = sampler.of_frame(frame - scene)
    ids_Bhw = masks_Bhw if given_Bhw is None else checked(given_Bhw, masks_Bhw, prior.vocabulary)
    chance = chance_of(seeds, frame, masks_Bhw.device)
    if sampler.order == "autoregressive":
        past = settled(prior, rollout, sampler)
        decided = raster(as_raster(prior), past, ids_Bhw, sampler, chance)
    elif last_Bhw is not None and (given_Bhw is None or torch.equal(ids_Bhw, masks_Bhw)):
        past, proposal = prior.advance(for_streams(last_Bhw, sampler), past)
        decided = maskgit(prior, past, ids_Bhw, sampler, chance, proposal)
    else:
        past = settled(prior, rollout, sampler)
        decided = maskgit(prior, past, ids_Bhw, sampler, chance)
    return Rollout(past, decided.ids_Bhw, masks_Bhw, seeds, frame + 1, scene), decided


def roll_out(
    prior: FramePrior[PastT, PresentT],
    rollout: Rollout[PastT],
    sampler: SamplerConfig,
    frames: int | None = None,
    given_BThw: Tensor | None = None,
) -> Iterator[Decided]:
    """So many frames, or endlessly; `given_BThw` is what the first T of them must have, with masks elsewhere.

    It may be left at any time. To go on from a place later, keep the records that `step` gives.
    """
    number = 0
    while frames is None or number < frames:
        given_Bhw = None if given_BThw is None or number >= given_BThw.shape[1] else given_BThw[:, number]
        rollout, decided = step(prior, rollout, sampler, given_Bhw)
        number += 1
        yield decided


@torch.no_grad()
def remember(prior: FramePrior[PastT, PresentT], past: PastT, ids_BThw: Tensor) -> PastT:
    """Make known frames part of the past; B is the number of its streams: twice the samples if it is for guidance."""
    for ids_Bhw in ids_BThw.unbind(1):
        past = prior.commit(past, prior.propose(ids_Bhw, past)[1])
    return past


def settled(prior: FramePrior[PastT, PresentT], rollout: Rollout[PastT], sampler: SamplerConfig) -> PastT:
    """The past with the last frame in it, for other uses than to go on."""
    if rollout.last_Bhw is None:
        return rollout.past
    return remember(prior, rollout.past, for_streams(rollout.last_Bhw, sampler).unsqueeze(1))


def copied(rollout: Rollout[PastT]) -> Rollout[PastT]:
    """The same rollout, to be kept while the other goes on; a past is a plain nested tuple of tensors."""
    return cast(Rollout[PastT], cloned(rollout))


def cloned(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.clone()
    if not isinstance(tree, tuple):
        return tree
    branches = [cloned(each) for each in tree]
    return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)


def checked(given_Bhw: Tensor, masks_Bhw: Tensor, vocabulary: Vocabulary) -> Tensor:
    if given_Bhw.shape != masks_Bhw.shape or given_Bhw.dtype != torch.int64:
        expected = f"int64 {list(masks_Bhw.shape)}"
        raise ValueError(f"given ids are {given_Bhw.dtype} {list(given_Bhw.shape)}; expected {expected}")
    if given_Bhw.min() < 0 or given_Bhw.max() > vocabulary.mask:
        reach = f"{int(given_Bhw.min())} to {int(given_Bhw.max())}"
        raise ValueError(
            f"given ids reach from {reach}; codes are 0 to {vocabulary.size - 1}, the mask is {vocabulary.mask}"
        )
    return given_Bhw


def as_raster(prior: FramePrior[PastT, PresentT]) -> RasterPrior[PastT, PresentT]:
    if not hasattr(prior, "next_token"):
        raise ValueError(
            f"order = autoregressive asks token by token, which {type(prior).__name__} cannot answer; use raster"
        )
    return cast(RasterPrior[PastT, PresentT], prior)
