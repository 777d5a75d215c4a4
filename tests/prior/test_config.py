import dataclasses

import pytest
import torch

from interfaces.prior import Text
from prior.config import ContextConfig
from prior.model import LlamaPrior
from tests.prior.models import FEATURES, WORDS, tiny_batch, tiny_config, tiny_model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({name: 0}, f"{name} = 0 ") for name in ("width", "layers", "heads", "kv_heads", "hidden", "window")),
        ({"kv_heads": 3}, "kv_heads = 3 "),
        ({"heads": 7, "kv_heads": 7}, "heads = 7 "),
        ({"heads": 16}, "= 3 must be even"),
        ({"objective": "backwards"}, "objective = backwards "),
        ({"theta": 1.0}, "theta = 1 "),
    ],
    ids=str,
)
def test_invalid_values_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tiny_config(), **change)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"length": 0, "vocabulary": 5}, "length = 0 "),
        ({"length": 3}, "set one of them"),
        ({"length": 3, "vocabulary": 5, "features": 5}, "set one of them"),
    ],
    ids=str,
)
def test_a_context_has_a_vocabulary_or_features(fields, message):
    with pytest.raises(ValueError, match=message):
        ContextConfig(**fields)


def test_derived_numbers():
    assert tiny_config().head_dim == 12
    assert dataclasses.replace(tiny_config(), width=32).head_dim == 8
    assert tiny_config(context=WORDS).context_length == 4
    assert tiny_config().context_length == 0


@pytest.mark.parametrize("given", [WORDS, FEATURES], ids=["words", "features"])
def test_text_of_another_shape_is_refused(given):
    config = tiny_config(context=given)
    model, batch = tiny_model(config), tiny_batch(config)
    assert batch.text is not None
    short = Text(batch.text.content[:, 1:], batch.text.mask[:, 1:])
    with pytest.raises(ValueError, match="text of shape"):
        model.features(batch._replace(text=short))
    with pytest.raises(ValueError, match="text of shape"):
        model.begin(short, 2)


def test_codes_of_another_shape_are_refused():
    config = tiny_config()
    model, batch = tiny_model(config), tiny_batch(config)
    past = model.begin(None, 2)
    for codes in (batch.clean[:1, 0], batch.clean[:, 0].transpose(1, 2), batch.clean[:, 0, :1]):
        known = torch.ones(codes.shape[:2], dtype=torch.bool)
        with pytest.raises(ValueError, match="codes"):
            model.propose(codes, known, past)
        with pytest.raises(ValueError, match="codes"):
            model.advance(codes, past)


def test_no_caption_equals_an_empty_one():
    config = tiny_config(context=WORDS)
    model, batch = tiny_model(config), tiny_batch(config)
    assert batch.text is not None
    without_text = model.features(batch._replace(text=None))
    empty = batch.text.without(torch.tensor([True, True]))
    assert torch.equal(without_text, model.features(batch._replace(text=empty)))
    one_word = Text(batch.text.content, torch.tensor([[True, False, False], [False, False, False]]))
    moved = (model.features(batch._replace(text=one_word)) - without_text).abs().amax((1, 2, 3))
    assert moved[0] > 1e-3
    assert moved[1] == 0


@pytest.mark.parametrize("given", [WORDS, FEATURES], ids=["words", "features"])
def test_padding_of_a_caption_has_no_effect(given):
    config = tiny_config(context=given)
    model, batch = tiny_model(config), tiny_batch(config)
    assert batch.text is not None
    mask = torch.arange(given.length) < torch.tensor([[1], [given.length - 1]])
    content = batch.text.content.clone()
    content[~mask] = 1
    one, other = (model.features(batch._replace(text=Text(each, mask))) for each in (batch.text.content, content))
    assert not torch.equal(content, batch.text.content)
    assert torch.equal(one, other)


def test_initial_residual_weights_shrink_with_the_number_of_layers():
    torch.manual_seed(0)
    deviations = [LlamaPrior(tiny_config(layers=layers)).layers[0].down.weight.std().item() for layers in (1, 8)]
    assert deviations[0] == pytest.approx(0.02 * 2**-0.5, rel=0.1)
    assert deviations[1] == pytest.approx(0.02 * 16**-0.5, rel=0.1)
