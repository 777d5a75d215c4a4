"""The laws of a prior that writes captions, as checks that anyone can run on their own weights; see `prior.laws`.

A batch here has captions to write, no text and a noise rate of 0, as captions are taught.
"""

import torch
from torch import Tensor

from interfaces.prior import Text
from interfaces.tokens import TokenSpec
from interfaces.verdict import Verdict
from prior import laws
from prior.captioning import begin_caption, caption_features, caption_nats, extend_caption
from prior.captions import caption_targets
from prior.config import PriorConfig
from prior.memory import Past
from prior.model import LlamaPrior, PriorBatch


@torch.no_grad()
def captions_are_the_training_path(model: LlamaPrior, batch: PriorBatch, tolerance: float) -> Verdict:
    """Captions of a committed clip equal one pass over the whole batch: all at once, token by token, and their nats."""
    caption = caption_of(batch)
    ids_BL, counted_BL = caption_targets(caption)
    trained_BLC = model.all_features(batch)[1]
    nats_BL = model(batch).caption.nats
    past = past_of(model, batch)
    _, at_once_BLC = caption_features(model, past, model.embed_captions(ids_BL, past.last), None)
    log_p = [first_log_p(model, past)]
    state, _ = begin_caption(model, past)
    for ids_B in ids_BL[:, :-1].unbind(1):
        state, later = extend_caption(model, past, state, ids_B)
        log_p.append(later)
    stepped_BL = -torch.stack(log_p, 1).gather(-1, ids_BL.unsqueeze(-1)).squeeze(-1)
    whole_B = (nats_BL.double() * counted_BL).sum(1)
    worst = max(
        laws.relative(at_once_BLC, trained_BLC),
        laws.relative(stepped_BL, nats_BL),
        laws.relative(caption_nats(model, past, caption), whole_B),
    )
    return Verdict("captions equal the training path", worst <= tolerance, laws.difference(worst))


@torch.no_grad()
def captions_leave_the_past_unchanged(model: LlamaPrior, batch: PriorBatch) -> Verdict:
    """A clip can be captioned and then goes on: all that later frames attend to stays the same to the bit."""
    past = past_of(model, batch)
    before = [each.clone() for each in (*past.keys, *past.values, past.last)]
    first = first_log_p(model, past)
    caption_nats(model, past, caption_of(batch))
    same = all(torch.equal(*pair) for pair in zip(before, (*past.keys, *past.values, past.last), strict=True))
    again = torch.equal(first, first_log_p(model, past))
    return Verdict("captions leave the past unchanged", same and again, f"after {int(past.frames)} frames")


@torch.no_grad()
def captions_do_not_depend_on_the_time(
    model: LlamaPrior, batch: PriorBatch, tolerance: float, shift: int = 1_000_000
) -> Verdict:
    """Captions do not change if the clip comes `shift` frames later in a stream."""
    full, frames = model.config.window + 1, batch.targets.shape[1]
    pasts = (laws.start_past(model, batch)._replace(frames=torch.tensor(clock)) for clock in (full, full + shift))
    near, far = (first_log_p(model, laws.commit_frames(model, batch, past, 0, frames)) for past in pasts)
    worst = laws.relative(far, near)
    detail = f"by {shift} frames: {laws.difference(worst)}"
    return Verdict("captions do not depend on the time", worst <= tolerance, detail)


def first_log_p(model: LlamaPrior, past: Past) -> Tensor:
    return begin_caption(model, past)[1]


def past_of(model: LlamaPrior, batch: PriorBatch) -> Past:
    """The past of all frames of the batch."""
    past: Past = laws.commit_frames(model, batch, laws.start_past(model, batch), 0, batch.targets.shape[1])
    return past


def caption_of(batch: PriorBatch) -> Text:
    if batch.caption is None:
        raise ValueError("the batch has no captions")
    return batch.caption


def random_caption_batch(
    config: PriorConfig, batch: int, frames: int, spec: TokenSpec, generator: torch.Generator
) -> PriorBatch:
    """Random clips with random captions to write."""
    assert config.context is not None
    clips = laws.random_batch(config, batch, frames, spec, generator)
    text = laws.random_text(config.context, batch, generator)
    content = text.content.clamp_min(1)  # no caption contains END
    return clips._replace(text=None, caption=Text(content, text.mask))
