"""Captions of clips by a prior that writes them: the most likely ones of a beam search, or random ones.

frames -- tokenizer.encode --> codes -- commit --> past -- begin_caption, extend_caption --> captions

A clip is read, encoded and committed piece by piece, so any length takes constant memory.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from interfaces.prior import DrawSettings
from prior.captioning import CaptionState, begin_caption, extend_caption
from prior.captions import END
from prior.heads.token_sampling import pick
from prior.memory import Past
from prior.model import as_llama
from sampling.rng import counter_rng
from sampling.rollout import commit_codes
from videogen.conditioning.bpe import BPEConditioner
from videogen.errors import DataError, NumbersError, UsageError
from videogen.io.images import Frames
from videogen.io.pixels import to_clip
from videogen.models import PriorModel
from videogen.system.threads import on_free_cores

FRAMES_AT_ONCE = 16
NO_CAPTIONS = "its prior writes no captions; one that is trained with prior.objective: unified does"


@dataclass(frozen=True)
class CaptionSettings:
    """How captions are chosen: the `count` most likely ones of a beam search, or with a temperature random ones."""

    count: int = 1
    beams: int | None = None  # captions that the search keeps; None: count. One takes the likeliest token each time
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count is {self.count}; it must be at least 1")
        if self.beams is not None and self.beams < self.count:
            raise ValueError(f"beams is {self.beams}; it must be at least count, {self.count}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature:g}; it must be at least 0")
        if self.temperature and self.beams is not None:
            raise ValueError("beams and temperature are two ways to choose captions; give one")


class ScoredCaption(NamedTuple):
    caption: str
    nats: float  # -log p(its tokens | clip)


class Hypothesis(NamedTuple):
    """A caption that is complete."""

    nats: float
    ids: tuple[int, ...]


def check_captions(model: PriorModel) -> BPEConditioner:
    """The vocabulary that captions are written in; UsageError for a model that writes none."""
    if not model.writes_captions:
        raise UsageError(f"{model.path}: {NO_CAPTIONS}")
    assert isinstance(model.conditioner, BPEConditioner)
    return model.conditioner


@on_free_cores
def write_captions(
    model: PriorModel, past: Past, settings: CaptionSettings, seeds: Sequence[int]
) -> list[ScoredCaption]:
    """Captions of the one clip in a past without text: the most likely first, or random ones, one for each seed."""
    conditioner = check_captions(model)
    if settings.temperature:
        found = draw_captions(model, past, seeds, settings.temperature)
    else:
        found = search_captions(model, past, settings.beams or settings.count)[: settings.count]
    return [ScoredCaption(conditioner.caption_of(ids), nats) for nats, ids in found]


def search_captions(model: PriorModel, past: Past, beams: int) -> list[Hypothesis]:
    """Beam search, by likelihood alone: at most `beams` complete captions, the most likely first."""
    state, log_p_RV = begin(model, past)
    alive: list[tuple[int, ...]] = [()]
    nats_R, done = torch.zeros(1, dtype=torch.float64), list[Hypothesis]()
    for place in range(length_of(model)):
        costs_RV = nats_R[:, None] - log_p_RV.double().cpu()
        ended, rows, ids = best_continuations(costs_RV, beams)
        done += [Hypothesis(costs_RV[row, END].item(), alive[row]) for row in ended]
        alive = [(*alive[row], token) for row, token in zip(rows, ids, strict=True)]
        nats_R = costs_RV[rows, ids]
        if place + 1 == length_of(model):
            done += [Hypothesis(nats, caption) for nats, caption in zip(nats_R.tolist(), alive, strict=True)]
        done = sorted(done)[:beams]
        if place + 1 == length_of(model) or not alive or (len(done) == beams and done[-1].nats <= nats_R.min()):
            break
        state = state.rows(torch.tensor(rows, device=model.device))
        state, log_p_RV = extend_caption(as_llama(model.network), past, state, torch.tensor(ids, device=model.device))
    return done


def best_continuations(costs_RV: Tensor, beams: int) -> tuple[list[int], list[int], list[int]]:
    """The rows whose END is among the `beams` best continuations; rows and tokens of the best others."""
    rows, tokens = costs_RV.shape
    best = costs_RV.flatten().argsort(stable=True)[: beams + rows].tolist()
    ended = [place // tokens for place in best[:beams] if place % tokens == END]
    others = [place for place in best if place % tokens != END][:beams]
    return ended, [place // tokens for place in others], [place % tokens for place in others]


def draw_captions(model: PriorModel, past: Past, seeds: Sequence[int], temperature: float) -> list[Hypothesis]:
    """One caption for each seed, of the one clip or of as many clips; with temperature 0 the likeliest tokens."""
    state, log_p_RV = begin(model, past)
    rows = len(seeds)
    if len(log_p_RV) == 1:
        none_R = torch.zeros(rows, dtype=torch.int64, device=model.device)
        state, log_p_RV = state.rows(none_R), log_p_RV.expand(rows, -1)
    settings, rng = DrawSettings(temperature), counter_rng(seeds, 0, model.device)
    captions: list[list[int]] = [[] for _ in seeds]
    nats_R, open_R = torch.zeros(rows, dtype=torch.float64), torch.ones(rows, dtype=torch.bool)
    for place in range(length_of(model)):
        ids_R = pick(log_p_RV, settings, rng.uniforms("codes", place, 1)[:, 0])
        cost_R = -log_p_RV.gather(-1, ids_R[:, None])[:, 0].double().cpu()
        nats_R += torch.where(open_R, cost_R, 0.0)
        open_R &= ids_R.cpu() != END
        for row in open_R.nonzero()[:, 0].tolist():
            captions[row].append(int(ids_R[row]))
        if place + 1 == length_of(model) or not open_R.any():
            break
        state, log_p_RV = extend_caption(as_llama(model.network), past, state, ids_R)
    return [Hypothesis(nats, tuple(ids)) for nats, ids in zip(nats_R.tolist(), captions, strict=True)]


def begin(model: PriorModel, past: Past) -> tuple[CaptionState, Tensor]:
    """As `begin_caption`; NumbersError for NaN or infinity."""
    state, log_p_RV = begin_caption(as_llama(model.network), past)
    if not log_p_RV.isfinite().all():
        raise NumbersError(f"{model.path}: the prior's outputs contain NaN or infinity; its weights are damaged")
    return state, log_p_RV


def length_of(model: PriorModel) -> int:
    context = as_llama(model.network).config.context
    assert context is not None
    return context.length


@torch.no_grad()
@on_free_cores
def past_of_clip(model: PriorModel, frames: Iterable[Frames], size: tuple[int, int]) -> Past:
    """The past of the clip of these frames uint8 [H, W, 3], without text."""
    spec = model.tokenizer.spec_of(*size)
    past: Past = model.network.begin(None, 1, spec)
    for codes_1TNK in codes_of_clip(model, frames):
        past = commit_codes(model.network, past, codes_1TNK)
    return past


@torch.no_grad()
def codes_of_clip(model: PriorModel, frames: Iterable[Frames]) -> Iterator[Tensor]:
    """The codes [1, T, N, K] of the clip in pieces.

    Frames at its end that do not fill a latent frame are left out, unless there is no other: as in training.
    """
    model.tokenizer.check_causal()
    tokenizer, state, count = model.tokenizer.network, None, 0
    frames = iter(frames)
    while piece := list(islice(frames, FRAMES_AT_ONCE)):
        codes_1TNK, state = tokenizer.encode(to_clip(np.stack(piece)[None]).to(tokenizer.device), state)
        count += codes_1TNK.shape[1]
        yield codes_1TNK
    if state is None:
        raise DataError("a clip without frames has no caption")
    if not count:
        yield tokenizer.encode_tail(state)
