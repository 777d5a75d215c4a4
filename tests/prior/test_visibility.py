"""The attention pattern, measured by gradients and compared with a second definition, token by token."""

import itertools

import pytest
import torch

from prior.model import LlamaPrior, run_block
from prior.visibility import Layout
from tests.prior.models import WORDS, tiny_batch, tiny_config, tiny_model

FRAMES, SHAPE = 5, (1, 2)
CASES = list(itertools.product(("masked", "autoregressive"), (None, WORDS)))
every_case = pytest.mark.parametrize(
    ("objective", "context"), CASES, ids=lambda value: "words" if value is WORDS else str(value)
)


def positions(context: int, copies: int, frames: int, tokens: int, caption: int = 0) -> list[tuple[str, int, int]]:
    """The sequence written out."""
    written = [("context", 0, n) for n in range(context)]
    for copy in ("clean", "masked")[:copies]:
        there = frames - 1 if copy == "clean" and copies == 2 and not caption else frames
        written += [(copy, frame, token) for frame in range(there) for token in range(tokens)]
    return written + [("caption", frames, n) for n in range(caption)]


def sees(asker, key, window, raster):
    """The definition, position by position: whether one attends to the other."""
    copy, frame, token = asker
    of_copy, of_frame, of_token = key
    if of_copy == "context":
        return True
    if copy == "context":
        return False
    if of_copy == "caption":
        return copy == "caption" and of_token <= token
    if of_copy == "masked" and copy == "clean":
        return False
    if of_frame > frame:
        return False
    if of_frame == frame:
        if of_copy != copy:
            return False
        return of_token <= token if raster else True
    if of_copy == "masked":
        return False
    return frame - of_frame <= window


def expected(objective, window, context, frames=FRAMES, tokens=2, caption=0):
    written = positions(context, 2 if objective == "masked" else 1, frames, tokens, caption)
    rows = [[sees(asker, key, window, objective == "autoregressive") for key in written] for asker in written]
    return written, torch.tensor(rows)


def feels(outputs_SC, inputs_SC):
    """bool [S, S]: whether an output has any gradient on an input."""
    rows = []
    for output in outputs_SC:
        (gradient,) = torch.autograd.grad(output, inputs_SC, torch.randn_like(output), retain_graph=True)
        rows.append(gradient.abs().sum(-1) > 0)
    return torch.stack(rows)


def lesson_and_sequence(config):
    model, batch = tiny_model(config), tiny_batch(config, batch=1, frames=FRAMES)
    layout = model.layout(FRAMES, 2, config.objective == "masked")
    x_SC = model.sequence(batch, layout).detach()[0].requires_grad_()
    return model, batch, layout, x_SC


def through_blocks(model: LlamaPrior, layout, x_SC, kernel):
    rotary = model.sequence_rotary(layout, model.spec.groups, x_SC.device)
    x_BSC = x_SC[None]
    for block in model.blocks:
        x_BSC = run_block(block, x_BSC, rotary, layout, kernel)
    return x_BSC[0]


def reachable(seen, steps):
    """Which inputs reach each position through this many layers."""
    reached = seen
    for _ in range(steps - 1):
        reached = (reached.double() @ seen.double()) > 0
    return reached


@every_case
@pytest.mark.parametrize("window", [1, 2, 9])
def test_the_layout_equals_the_definition(objective, context, window):
    model = tiny_model(tiny_config(objective, window=window, context=context))
    layout = model.layout(FRAMES, 2, objective == "masked")
    assert torch.equal(layout.mask(), expected(objective, window, layout.context)[1])


@pytest.mark.parametrize("kernel", ["gathered", "dense", "oracle"])
@pytest.mark.parametrize("window", [1, 2, 9])
@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_gradients_of_a_sequence_with_a_caption_equal_the_definition(objective, window, kernel):
    config = tiny_config(objective, window=window, context=WORDS, layers=1, shape=SHAPE)
    model = tiny_model(config)
    layout = model.layout(FRAMES, 2, objective == "masked", caption=3)
    _, seen = expected(objective, window, layout.context, caption=3)
    assert torch.equal(layout.mask(), seen)
    generator = torch.Generator().manual_seed(0)
    x_SC = torch.randn(layout.length, config.width, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.equal(feels(through_blocks(model, layout, x_SC, kernel), x_SC), seen)


@every_case
@pytest.mark.parametrize("kernel", ["gathered", "dense", "oracle"])
def test_gradients_of_one_layer_equal_the_mask(objective, context, kernel):
    """Nothing outside the window and nothing of other masked frames, and everything else."""
    config = tiny_config(objective, context=context, layers=1, shape=SHAPE)
    model, _, layout, x_SC = lesson_and_sequence(config)
    felt = feels(through_blocks(model, layout, x_SC, kernel), x_SC)
    assert torch.equal(felt, expected(objective, config.window, layout.context)[1])


@every_case
@pytest.mark.parametrize("layers", [2, 3])
def test_gradients_of_many_layers_stay_within_the_reachable_positions(objective, context, layers):
    config = tiny_config(objective, window=1, context=context, layers=layers, shape=SHAPE)
    model, _, layout, x_SC = lesson_and_sequence(config)
    felt = feels(through_blocks(model, layout, x_SC, "gathered"), x_SC)
    written, seen = expected(objective, 1, layout.context)
    assert torch.equal(felt, reachable(seen, layers))
    for (asker, key), is_felt in zip(itertools.product(written, written), felt.flatten().tolist(), strict=True):
        copy, frame, token = asker
        of_copy, of_frame, of_token = key
        if is_felt and of_copy != "context":
            assert copy != "context"
            assert of_frame <= frame
            assert of_copy == "clean" or (copy == "masked" and of_frame == frame)
            assert of_copy == copy or of_frame < frame
            assert objective == "masked" or of_frame < frame or of_token <= token


@pytest.mark.parametrize("objective", ["masked", "autoregressive"])
def test_gradients_of_the_model_follow_its_layout(objective, monkeypatch):
    config = tiny_config(objective, window=1, context=WORDS, layers=2, shape=SHAPE)
    model, batch, layout, x_SC = lesson_and_sequence(config)
    monkeypatch.setattr(model, "sequence", lambda batch, layout: x_SC[None])
    features = model.features(batch).flatten(0, -2)
    _, seen = expected(objective, 1, layout.context)
    assert torch.equal(feels(features, x_SC), reachable(seen, 2)[-len(features) :])


def test_changing_a_token_changes_only_the_predictions_that_attend_to_it():
    """The same by changing codes instead of gradients."""
    config = tiny_config(window=1, layers=2, shape=SHAPE)
    model, batch = tiny_model(config), tiny_batch(config, batch=1, frames=FRAMES)
    assert batch.known is not None
    batch = batch._replace(known=torch.ones_like(batch.known))
    with torch.no_grad():
        before = model.features(batch)
        for t in range(FRAMES):
            clean, targets = batch.clean.clone(), batch.targets.clone()
            clean[:, t], targets[:, t] = (clean[:, t] + 1) % 3, (targets[:, t] + 1) % 3
            changed_T = changed(before, model.features(batch._replace(clean=clean)))
            assert changed_T == [t < frame <= t + 2 for frame in range(FRAMES)]
            assert changed(before, model.features(batch._replace(targets=targets))) == [f == t for f in range(FRAMES)]


def changed(one, other):
    return ((one - other).abs().amax((0, 2, 3)) > 0).tolist()


def test_locate_gives_copy_frame_and_token():
    layout = Layout(3, FRAMES, 2, 1, 2, "together")
    copies, frames, tokens = (part.tolist() for part in layout.locate(torch.arange(layout.length)))
    names = {"context": -1, "clean": 0, "masked": 1}
    for n, (copy, frame, token) in enumerate(positions(3, 2, FRAMES, 2)):
        assert copies[n] == names[copy]
        if copy != "context":
            assert (frames[n], tokens[n]) == (frame, token)
