"""What every prior must hold, as checks that anyone can run on their own weights: each returns a Verdict.

A lesson is any clips that the model can take, all at one rate of corruption; short and small is enough. What is equal
to float rounding only is compared relative to its scale: a tolerance of 1e-5 suits float32.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from prior.config import ContextConfig, PriorConfig
from prior.memory import Past, copied, spot
from prior.model import Lesson, LlamaPrior, TokenProposal
from prior.text import Text
from prior.vocabulary import Vocabulary


@dataclass(frozen=True)
class Verdict:
    law: str
    held: bool
    detail: str


@torch.no_grad()
def streaming_is_the_training_path(model: LlamaPrior, lesson: Lesson, tolerance: float) -> Verdict:
    """What is proposed frame by frame is what the whole lesson at once teaches: features, and logits of every digit."""
    features, worst = model.features(lesson), 0.0
    for t, proposal in enumerate(proposals(model, lesson)):
        taught = TokenProposal(features[:, t], model.head)
        worst = max(worst, apart(proposal, taught, lesson.targets[:, t]))
    return Verdict("streaming equals the training path", worst <= tolerance, difference(worst))


@torch.no_grad()
def proposing_twice_is_proposing_once(model: LlamaPrior, lesson: Lesson) -> Verdict:
    """Asked again, after another question, it answers the same to the bit; and nothing visible has changed."""
    law, past = "proposing twice is proposing once", begun(model, lesson)
    for t in range(lesson.targets.shape[1]):
        before, asked = visible(model.config, past), question(lesson, t)
        once = model.propose(asked, past)[0]
        model.propose(nothing_decided(model, lesson), past)
        if not torch.equal(once.features, model.propose(asked, past)[0].features):
            return Verdict(law, False, f"the answer at frame {t} differs the second time")
        if not all(torch.equal(*pair) for pair in zip(before, visible(model.config, past), strict=True)):
            return Verdict(law, False, f"a question at frame {t} has changed what later questions see")
        past = lived(model, lesson, past, t, t + 1)
    return Verdict(law, True, f"equal to the bit at {lesson.targets.shape[1]} frames")


@torch.no_grad()
def a_copied_past_resumes(model: LlamaPrior, lesson: Lesson) -> Verdict:
    """A copy goes on to the same bits, after the original has gone on; from every frame of the lesson."""
    frames, past = lesson.targets.shape[1], begun(model, lesson)
    for t in range(frames):
        kept, on = copied(past), copied(past)
        first, second = (list(proposals(model, lesson, each, t)) for each in (past, kept))
        if not all(torch.equal(one.features, two.features) for one, two in zip(first, second, strict=True)):
            return Verdict("a copied past resumes", False, f"from frame {t} the copy goes another way")
        past = lived(model, lesson, on, t, t + 1)
    return Verdict("a copied past resumes", True, f"equal to the bit from each of {frames} frames")


@torch.no_grad()
def advancing_is_committing_and_proposing(model: LlamaPrior, lesson: Lesson, tolerance: float) -> Verdict:
    """The two steps in one pass leave the same past and give the same answer, to float rounding."""
    law, worst, masked = "advancing is committing and proposing", 0.0, nothing_decided(model, lesson)
    stepped, fused = begun(model, lesson), begun(model, lesson)
    for t in range(lesson.targets.shape[1]):
        stepped = lived(model, lesson, stepped, t, t + 1)
        fused, proposal = model.advance(lesson.clean[:, t], fused)
        worst = max(worst, apart(proposal, model.propose(masked, stepped)[0], lesson.targets[:, t]))
        pairs = zip(visible(model.config, fused), visible(model.config, stepped), strict=True)
        worst = max(worst, *(relative(*pair) for pair in pairs))
        if not (torch.equal(stepped.frames, fused.frames) and torch.equal(stepped.last_B, fused.last_B)):
            return Verdict(law, False, f"after frame {t} the two pasts have not come equally far")
    return Verdict(law, worst <= tolerance, difference(worst))


@torch.no_grad()
def shifting_a_stream_changes_nothing(
    model: LlamaPrior, lesson: Lesson, tolerance: float, shift: int = 1_000_000
) -> Verdict:
    """Frames that are `shift` frames later get the same answers. The sinks are those of the beginning in both streams.

    Both clocks are set past the filling of the ring: its blank places then look the same to both.
    """
    config, frames = model.config, lesson.targets.shape[1]
    if frames <= config.sink_frames:
        raise ValueError(f"the lesson has {frames} frames: expected more than the {config.sink_frames} of the sink")
    past, worst = lived(model, lesson, begun(model, lesson), 0, config.sink_frames), 0.0
    full = config.sink_frames + config.window + 1
    pasts = (copied(past)._replace(frames=torch.tensor(clock)) for clock in (full, full + shift))
    near, far = (proposals(model, lesson, each, config.sink_frames) for each in pasts)
    for t, (early, late) in enumerate(zip(near, far, strict=True), config.sink_frames):
        worst = max(worst, apart(late, early, lesson.targets[:, t]))
    return Verdict("shifting a stream changes nothing", worst <= tolerance, f"by {shift} frames: {difference(worst)}")


@torch.no_grad()
def a_past_does_not_grow(model: LlamaPrior, lesson: Lesson, rounds: int) -> Verdict:
    """However often the lesson goes by, the past lies in the same memory."""
    past, masked = begun(model, lesson), nothing_decided(model, lesson)
    places = {memory(past)}
    for _ in range(rounds):
        past = lived(model, lesson, past, 0, lesson.targets.shape[1])
        places.add(memory(past))
        past, _ = model.advance(lesson.clean[:, -1], past)
        model.propose(masked, past)
        places.add(memory(past))
    size = sum(each.nbytes for each in (*past.keys, *past.values))
    return Verdict("a past does not grow", len(places) == 1, f"{size} bytes after {int(past.frames)} frames")


@torch.no_grad()
def a_row_of_a_batch_is_the_row_alone(model: LlamaPrior, lesson: Lesson, tolerance: float) -> Verdict:
    """The top guess at every token is the same, whatever else is in the batch; all else to float rounding."""
    together = list(proposals(model, lesson))
    wrong, worst = 0, 0.0
    for row in range(len(lesson.targets)):
        alone = row_of(lesson, row)
        for t, (batch, one) in enumerate(zip(together, proposals(model, alone), strict=True)):
            part = TokenProposal(batch.features[row : row + 1], model.head)
            wrong += int((top_guesses(part, model.vocabulary) != top_guesses(one, model.vocabulary)).sum())
            worst = max(worst, apart(part, one, alone.targets[:, t]))
    detail = f"{wrong} of {lesson.targets.numel()} top guesses differ, {difference(worst)}"
    return Verdict("a row of a batch is the row alone", wrong == 0 and worst <= tolerance, detail)


def made_up_lesson(
    config: PriorConfig, batch: int, frames: int, grid: tuple[int, int], generator: torch.Generator, rate: float = 0.0
) -> Lesson:
    """Random clips on the generator's device, a random part of each frame masked, told captions if it takes any."""
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    shape, mask = (batch, frames, *grid), config.vocabulary.mask
    targets, noise = (torch.randint(mask, shape, **draw) for _ in range(2))
    clean = torch.where(torch.rand(shape, **draw) < rate, noise, targets)
    hidden = torch.rand(shape, **draw) < torch.rand(batch, frames, 1, 1, **draw)
    seen = torch.where(hidden, mask, targets) if config.objective == "masked" else None
    text = None if config.context is None else made_up_text(config.context, batch, generator)
    return Lesson(targets, clean, seen, text, torch.full((batch,), rate, device=generator.device))


def made_up_text(config: ContextConfig, batch: int, generator: torch.Generator) -> Text:
    """Captions of random words and of random lengths, from none on."""
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    lengths = torch.randint(config.length + 1, (batch, 1), **draw)
    mask = torch.arange(config.length, device=generator.device) < lengths
    if config.vocabulary is not None:
        return Text(torch.randint(config.vocabulary, (batch, config.length), **draw), mask)
    return Text(torch.randn(batch, config.length, config.features or 0, **draw), mask)


def begun(model: LlamaPrior, lesson: Lesson) -> Past:
    """The past before the lesson's first frame."""
    rate = lesson.rate_B[0].item()
    if (lesson.rate_B != rate).any():
        raise ValueError(f"the lesson has rates {lesson.rate_B.tolist()}: a stream has one")
    batch, _, height, width = lesson.targets.shape
    return model.begin(lesson.text, batch, (height, width), rate)


def lived(model: LlamaPrior, lesson: Lesson, past: Past, start: int, end: int) -> Past:
    """The past after frames start .. end - 1 of the lesson as well.

    Another question comes before each commit, which so has to put the decided frame where the other one was asked.
    """
    for t in range(start, end):
        _, present = model.propose(lesson.clean[:, t], past)
        model.propose(nothing_decided(model, lesson), past)
        past = model.commit(past, present)
    return past


def proposals(model: LlamaPrior, lesson: Lesson, past: Past | None = None, start: int = 0) -> Iterator[TokenProposal]:
    """What a stream is told at each frame of the lesson from `start` on; the past that is given is used up."""
    past = begun(model, lesson) if past is None else past
    for t in range(start, lesson.targets.shape[1]):
        yield model.propose(question(lesson, t), past)[0]
        past = lived(model, lesson, past, t, t + 1)


def question(lesson: Lesson, t: int) -> Tensor:
    """What frame t is known to be when it is asked for; in raster order every token knows those before it."""
    return (lesson.clean if lesson.seen is None else lesson.seen)[:, t]


def nothing_decided(model: LlamaPrior, lesson: Lesson) -> Tensor:
    return torch.full_like(lesson.targets[:, 0], model.vocabulary.mask)


def row_of(lesson: Lesson, row: int) -> Lesson:
    one = slice(row, row + 1)
    seen = None if lesson.seen is None else lesson.seen[one]
    text = None if lesson.text is None else lesson.text.rows(one)
    return Lesson(lesson.targets[one], lesson.clean[one], seen, text, lesson.rate_B[one])


def visible(config: PriorConfig, past: Past) -> list[Tensor]:
    """All of the past but the place of the frame being decided, as a copy."""
    place = spot(config, int(past.frames), int(past.grid.prod()))
    buffers = (*past.keys, *past.values)
    return [torch.cat([each[:, :, : place.start], each[:, :, place.end : place.visible]], 2) for each in buffers]


def memory(past: Past) -> tuple[tuple[int, int], ...]:
    """Address and size of everything that is kept of frames."""
    return tuple((each.data_ptr(), each.untyped_storage().nbytes()) for each in (*past.keys, *past.values))


def top_guesses(proposal: TokenProposal, vocabulary: Vocabulary) -> Tensor:
    """int64 [B, h, w]: the likeliest first digit, then the likeliest second one after it, and so on."""
    digits = torch.empty(*proposal.features.shape[:-1], 0, dtype=torch.int64, device=proposal.features.device)
    for _ in vocabulary.digits:
        digits = torch.cat([digits, proposal.logits(digits).argmax(-1, keepdim=True)], -1)
    return vocabulary.to_ids(digits)


def apart(one: TokenProposal, other: TokenProposal, ids_Bhw: Tensor) -> float:
    """The largest difference of their features, and of their logits of each digit of these ids given those before."""
    digits = one.head.vocabulary.to_digits(ids_Bhw)
    logits = ((one.logits(known), other.logits(known)) for known in (digits[..., :n] for n in range(digits.shape[-1])))
    return max(relative(one.features, other.features), *(relative(*pair) for pair in logits))


def relative(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value; infinite where something is no number."""
    if one.numel() == 0:
        return 0.0
    ratio = ((one - other).abs().max() / other.abs().max().clamp_min(1e-30)).item()
    return ratio if math.isfinite(ratio) else math.inf


def difference(worst: float) -> str:
    return f"largest relative difference {worst:.1e}"
