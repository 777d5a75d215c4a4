"""Orders captions by how well they fit a clip: by log p(caption | clip), or by log p(clip | caption).

The first needs a prior that writes captions; the second is there for every prior with text. It is exact for an
autoregressive prior. For a masked prior it is a bound, estimated with masks that are the same for every caption: so
captions differ by what they say, not by their masks.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from interfaces.tokens import TokenSpec
from prior.captioning import caption_nats
from prior.likelihood import frame_likelihoods
from prior.memory import Past
from prior.model import as_llama
from videogen.errors import UsageError
from videogen.generate import read_prompt
from videogen.generation.captioning import check_captions, codes_of_clip, past_of_clip
from videogen.io.images import Frames
from videogen.models import PriorModel
from videogen.system.threads import on_free_cores

RankBy = Literal["caption", "video"]
AT_ONCE = 32  # captions
DRAWS = 8  # of the masks of each latent frame


class RankedCaption(NamedTuple):
    caption: str
    nats: float  # -log p(caption | clip), or -log p(clip | caption)


def choose_ranking(model: PriorModel, by: RankBy | None) -> RankBy:
    """What the model has if None; UsageError for what it does not have."""
    if model.conditioner is None:
        raise UsageError(f"{model.path}: takes no captions, so it cannot rank them")
    if by == "caption":
        check_captions(model)
    by = by or ("caption" if model.writes_captions else "video")
    if by == "video" and not model.network.likelihood:
        raise UsageError(f"{model.path}: its prior has no likelihood of videos, so it cannot rank captions by it")
    return by


@torch.no_grad()
def rank_captions(
    model: PriorModel, frames: Iterable[Frames], size: tuple[int, int], captions: Sequence[str], by: RankBy
) -> list[RankedCaption]:
    """The captions of the clip of these frames [H, W, 3], the most likely first; equal ones in the given order."""
    if not captions:
        raise UsageError("there are no captions to rank")
    if by == "caption":
        nats = nats_of_captions(model, past_of_clip(model, frames, size), captions)
    else:
        codes_1TNK = torch.cat(list(codes_of_clip(model, frames)), 1)
        nats = nats_of_clip(model, codes_1TNK, model.tokenizer.spec_of(*size), captions)
    return sorted(map(RankedCaption, captions, nats), key=lambda ranked: ranked.nats)


@torch.no_grad()
@on_free_cores
def nats_of_captions(model: PriorModel, past: Past, captions: Sequence[str]) -> list[float]:
    """-log p(caption | clip) for the one clip in a past without text; of a longer caption, its start alone."""
    conditioner, nats = check_captions(model), list[float]()
    for first in range(0, len(captions), AT_ONCE):
        text = conditioner(captions[first : first + AT_ONCE]).to(model.device)
        nats += caption_nats(as_llama(model.network), past, text).tolist()
    return nats


@torch.no_grad()
@on_free_cores
def nats_of_clip(
    model: PriorModel, codes_1TNK: Tensor, spec: TokenSpec, captions: Sequence[str], draws: int = DRAWS
) -> list[float]:
    """-log p(clip | caption) of all tokens of a clip, under each caption; memory grows with the clip's length."""
    assert model.conditioner is not None
    masked = model.config.objective == "masked"
    codes_DTNK = codes_1TNK.expand(draws if masked else 1, -1, -1, -1)
    nats = []
    for caption in captions:
        text = model.conditioner([read_prompt(model, caption)] * len(codes_DTNK)).to(model.device)
        nats_DT = frame_likelihoods(model.network, codes_DTNK, spec, masked, text, None, first=0).nats_BT
        nats.append(nats_DT.double().sum(1).mean().item() * spec.tokens)
    return nats
