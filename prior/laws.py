"""The laws of every prior, as checks that anyone can run on their own weights: each returns a Verdict.

A batch is any clips that the model accepts, all at one noise rate; a small batch of short clips is enough. A tolerance
is relative to the scale of what is compared: 1e-5 suits float32.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from interfaces.prior import Text, clone_tensors
from interfaces.tokens import TokenSpec
from interfaces.verdict import Verdict
from prior.config import ContextConfig, ControlConfig
from prior.heads.base import TokenProposal
from prior.kinds import AnyPriorConfig
from prior.model import PriorBatch
from prior.network import PriorNetwork


@torch.no_grad()
def streaming_is_the_training_path(model: PriorNetwork, batch: PriorBatch, tolerance: float) -> Verdict:
    """Proposals frame by frame equal one pass over the whole batch: the features and the outputs of the head."""
    features, worst = model.features(batch), 0.0
    for t, proposal in enumerate(proposals(model, batch)):
        trained = TokenProposal(features[:, t], model.head)
        worst = max(worst, distance(proposal, trained, batch.targets[:, t]))
    return Verdict("streaming equals the training path", worst <= tolerance, difference(worst))


@torch.no_grad()
def proposing_twice_is_proposing_once(model: PriorNetwork, batch: PriorBatch) -> Verdict:
    """A second proposal, after a different one, equals the first to the bit, and the visible cache is unchanged."""
    law, past = "proposing twice is proposing once", start_past(model, batch)
    for t in range(batch.targets.shape[1]):
        before = model.visible(past)
        once = propose_frame(model, batch, past, t)
        propose_nothing_known(model, batch, past, t)
        if not torch.equal(once.features, propose_frame(model, batch, past, t).features):
            return Verdict(law, False, f"the second proposal at frame {t} differs")
        if not all(torch.equal(*pair) for pair in zip(before, model.visible(past), strict=True)):
            return Verdict(law, False, f"a proposal at frame {t} changed the visible cache")
        past = commit_frames(model, batch, past, t, t + 1)
    return Verdict(law, True, f"equal to the bit at {batch.targets.shape[1]} frames")


@torch.no_grad()
def a_copied_past_resumes(model: PriorNetwork, batch: PriorBatch) -> Verdict:
    """A copy of the past continues to the same bits after the original continued; from every frame of the batch."""
    frames, past = batch.targets.shape[1], start_past(model, batch)
    for t in range(frames):
        copy, next_past = clone_tensors(past), clone_tensors(past)
        first, second = (list(proposals(model, batch, each, t)) for each in (past, copy))
        if not all(torch.equal(one.features, two.features) for one, two in zip(first, second, strict=True)):
            return Verdict("a copied past resumes", False, f"from frame {t} on the copy differs")
        past = commit_frames(model, batch, next_past, t, t + 1)
    return Verdict("a copied past resumes", True, f"equal to the bit from each of {frames} frames")


@torch.no_grad()
def advancing_is_committing_and_proposing(model: PriorNetwork, batch: PriorBatch, tolerance: float) -> Verdict:
    """`advance` gives the same past and the same proposal as `commit` and `propose`, to float rounding."""
    law, worst = "advancing is committing and proposing", 0.0
    stepped, fused = start_past(model, batch), start_past(model, batch)
    for t in range(batch.targets.shape[1]):
        stepped = commit_frames(model, batch, stepped, t, t + 1)
        controls = control_at(batch, t), control_at(batch, t + 1)
        fused = with_mask_noise(model, batch, fused, t + 1)
        fused, proposal = model.advance(batch.clean[:, t], fused, *controls)
        expected = propose_nothing_known(model, batch, stepped, t + 1)
        worst = max(worst, distance(proposal, expected, batch.targets[:, t]))
        pairs = zip(model.visible(fused), model.visible(stepped), strict=True)
        worst = max(worst, *(relative(*pair) for pair in pairs))
        if not torch.equal(stepped.frames, fused.frames):
            return Verdict(law, False, f"after frame {t} the two pasts have different lengths")
    return Verdict(law, worst <= tolerance, difference(worst))


@torch.no_grad()
def shifting_a_stream_changes_nothing(
    model: PriorNetwork, batch: PriorBatch, tolerance: float, shift: int = 1_000_000
) -> Verdict:
    """Proposals do not change if the frames come `shift` frames later.

    Both start at a frame number at which the ring is full, so that its unwritten slots look the same to both.
    """
    full, worst = model.config.window + 1, 0.0
    pasts = (start_past(model, batch)._replace(frames=torch.tensor(clock)) for clock in (full, full + shift))
    near, far = (proposals(model, batch, past) for past in pasts)
    for t, (early, late) in enumerate(zip(near, far, strict=True)):
        worst = max(worst, distance(late, early, batch.targets[:, t]))
    return Verdict("shifting a stream changes nothing", worst <= tolerance, f"by {shift} frames: {difference(worst)}")


@torch.no_grad()
def a_past_does_not_grow(model: PriorNetwork, batch: PriorBatch, rounds: int) -> Verdict:
    """The past stays in the same memory, however long the stream."""
    past = start_past(model, batch)
    places = {memory(model, past)}
    for _ in range(rounds):
        past = commit_frames(model, batch, past, 0, batch.targets.shape[1])
        places.add(memory(model, past))
        last = batch.targets.shape[1] - 1
        past, _ = model.advance(batch.clean[:, -1], past, control_at(batch, last), control_at(batch, last))
        propose_nothing_known(model, batch, past, last)
        places.add(memory(model, past))
    size = sum(each.nbytes for each in model.memory(past))
    return Verdict("a past does not grow", len(places) == 1, f"{size} bytes after {int(past.frames)} frames")


@torch.no_grad()
def a_row_of_a_batch_is_the_row_alone(model: PriorNetwork, batch: PriorBatch, tolerance: float) -> Verdict:
    """The top guess at every token does not depend on the other rows; everything else is equal to float rounding."""
    together = list(proposals(model, batch))
    wrong, worst = 0, 0.0
    for row in range(len(batch.targets)):
        alone = row_of(batch, row)
        for t, (whole, one) in enumerate(zip(together, proposals(model, alone), strict=True)):
            part = TokenProposal(whole.features[row : row + 1], model.head)
            guesses = model.head.guesses(part.features), model.head.guesses(one.features)
            if batch.spec.continuous:
                worst = max(worst, relative(*guesses))
            else:
                wrong += int((guesses[0] != guesses[1]).any(-1).sum())
            worst = max(worst, distance(part, one, alone.targets[:, t]))
    detail = f"{wrong} of {batch.targets[..., 0].numel()} top guesses differ, {difference(worst)}"
    return Verdict("a row of a batch is the row alone", wrong == 0 and worst <= tolerance, detail)


def random_batch(
    config: AnyPriorConfig, batch: int, frames: int, spec: TokenSpec, generator: torch.Generator, noise: float = 0.0
) -> PriorBatch:
    """Random clips on the generator's device, with captions and controls if the prior takes them; a random part of each
    frame is masked."""
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    shape = (batch, frames, spec.tokens)
    targets, other = (random_codes(spec, shape, generator) for _ in range(2))
    clean = torch.where((torch.rand(shape, **draw) < noise).unsqueeze(-1), other, targets)
    hidden = torch.rand(shape, **draw) < torch.rand(batch, frames, 1, **draw)
    known = ~hidden if config.objective == "masked" else None
    text = None if config.context is None else random_text(config.context, batch, generator)
    control = None if config.control is None else random_control(config.control, (batch, frames), generator)
    rates = torch.full((batch,), noise, device=generator.device)
    mask_noise = torch.randn(*shape, config.mask_noise, **draw) if config.mask_noise else None
    return PriorBatch(targets, clean, known, text, rates, spec, control, mask_noise)


def random_codes(spec: TokenSpec, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    if spec.continuous:
        return torch.randn(*shape, spec.depth, **draw)
    return torch.stack([torch.randint(size, shape, **draw) for size in spec.codebooks], -1)


def random_control(config: ControlConfig, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    if config.discrete is not None:
        return torch.randint(config.discrete, shape, **draw)
    return torch.randn(*shape, config.floats or 0, **draw)


def random_text(config: ContextConfig, batch: int, generator: torch.Generator) -> Text:
    """Captions of random words and random lengths from 0 on."""
    draw: dict[str, Any] = {"generator": generator, "device": generator.device}
    lengths = torch.randint(config.length + 1, (batch, 1), **draw)
    mask = torch.arange(config.length, device=generator.device) < lengths
    if config.vocabulary is not None:
        return Text(torch.randint(config.vocabulary, (batch, config.length), **draw), mask)
    return Text(torch.randn(batch, config.length, config.features or 0, **draw), mask)


def start_past(model: PriorNetwork, batch: PriorBatch) -> Any:
    """The past before the batch's first frame."""
    noise = batch.noise_B[0].item()
    if (batch.noise_B != noise).any():
        raise ValueError(f"the batch has noise rates {batch.noise_B.tolist()}: a stream has one")
    return model.begin(batch.text, len(batch.targets), batch.spec, noise)


def commit_frames(model: PriorNetwork, batch: PriorBatch, past: Any, start: int, end: int) -> Any:
    """Commits frames start .. end - 1 of the batch.

    Another proposal comes before each commit, so the commit has to overwrite its keys.
    """
    for t in range(start, end):
        control = control_at(batch, t)
        _, present = model.propose(batch.clean[:, t], all_known(batch), past, control)
        propose_nothing_known(model, batch, past, t)
        past = model.commit(past, present)
    return past


def proposals(
    model: PriorNetwork, batch: PriorBatch, past: Any | None = None, start: int = 0
) -> Iterator[TokenProposal]:
    """The proposals of a stream at each frame of the batch from `start` on; mutates `past`."""
    past = start_past(model, batch) if past is None else past
    for t in range(start, batch.targets.shape[1]):
        yield propose_frame(model, batch, past, t)
        past = commit_frames(model, batch, past, t, t + 1)


def propose_frame(model: PriorNetwork, batch: PriorBatch, past: Any, t: int) -> TokenProposal:
    """The proposal at frame t given its known tokens; in decode order each token knows those before it."""
    control, past = control_at(batch, t), with_mask_noise(model, batch, past, t)
    if batch.known is None:
        return model.propose(batch.clean[:, t], all_known(batch), past, control)[0]
    return model.propose(batch.targets[:, t], batch.known[:, t], past, control)[0]


def propose_nothing_known(model: PriorNetwork, batch: PriorBatch, past: Any, t: int) -> TokenProposal:
    past = with_mask_noise(model, batch, past, t)
    return model.propose(batch.targets[:, 0], ~all_known(batch), past, control_at(batch, t))[0]


def with_mask_noise(model: PriorNetwork, batch: PriorBatch, past: Any, t: int) -> Any:
    """The past with the random numbers of frame t, for a prior that takes some."""
    if batch.mask_noise is None:
        return past
    return model.with_mask_noise(past, batch.mask_noise[:, min(t, batch.mask_noise.shape[1] - 1)])


def all_known(batch: PriorBatch) -> Tensor:
    return torch.ones(batch.targets[:, 0].shape[:2], dtype=torch.bool, device=batch.targets.device)


def control_at(batch: PriorBatch, t: int) -> Tensor | None:
    return None if batch.control is None else batch.control[:, min(t, batch.control.shape[1] - 1)]


def row_of(batch: PriorBatch, row: int) -> PriorBatch:
    one = slice(row, row + 1)
    known, control = (None if each is None else each[one] for each in (batch.known, batch.control))
    text = None if batch.text is None else batch.text.rows(one)
    mask_noise = None if batch.mask_noise is None else batch.mask_noise[one]
    codes = batch.targets[one], batch.clean[one]
    return PriorBatch(*codes, known, text, batch.noise_B[one], batch.spec, control, mask_noise)


def memory(model: PriorNetwork, past: Any) -> tuple[tuple[int, int], ...]:
    """Address and size of each tensor of a past."""
    return tuple((each.data_ptr(), each.untyped_storage().nbytes()) for each in model.memory(past))


def distance(one: TokenProposal, other: TokenProposal, codes_BNK: Tensor) -> float:
    """The largest difference between their features, and between the head's outputs for these codes."""
    readings = zip(*(each.head.readings(each.features, codes_BNK) for each in (one, other)), strict=True)
    return max(relative(one.features, other.features), *(relative(*pair) for pair in readings))


def relative(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value; infinite if a value is NaN."""
    if one.numel() == 0:
        return 0.0
    ratio = ((one - other).abs().max() / other.abs().max().clamp_min(1e-30)).item()
    return ratio if math.isfinite(ratio) else math.inf


def difference(worst: float) -> str:
    return f"largest relative difference {worst:.1e}"
