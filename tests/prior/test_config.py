import dataclasses

import pytest
import torch

from interfaces.prior import Text
from prior.config import ContextConfig
from prior.model import LlamaPrior
from tests.prior.models import FEATURES, WORDS, tiny_config, tiny_lesson, tiny_model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({name: 0}, f"{name} = 0 ") for name in ("width", "layers", "heads", "kv_heads", "hidden", "window")),
        ({"sink_frames": -1}, "sink_frames = -1 "),
        ({"kv_heads": 3}, "kv_heads = 3 "),
        ({"heads": 6, "kv_heads": 2, "head_width": None}, "heads = 6 "),
        ({"head_width": 7}, "head_width = 7 "),
        ({"theta": 1.0}, "theta = 1 "),
        ({"positions": "line", "sink_frames": 1}, "sink_frames"),
        ({"positions": "line", "context": WORDS}, "context"),
        ({"digits": (4, 1)}, r"digits = \(4, 1\)"),
        ({"digits": ()}, r"digits = \(\)"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_name(change, message):
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
def test_a_context_is_words_or_features(fields, message):
    with pytest.raises(ValueError, match=message):
        ContextConfig(**fields)


def test_derived_numbers():
    assert tiny_config().head_dim == 12
    assert dataclasses.replace(tiny_config(), head_width=None).head_dim == 8
    assert tiny_config(context=WORDS).context_length == 4
    assert tiny_config().context_length == 0
    assert tiny_config(digits=(5, 6)).vocabulary.size == 30


@pytest.mark.parametrize("given", [WORDS, FEATURES], ids=["words", "features"])
def test_text_of_another_shape_is_refused(given):
    config = tiny_config(context=given)
    model, lesson = tiny_model(config), tiny_lesson(config)
    assert lesson.text is not None
    short = Text(lesson.text.content[:, 1:], lesson.text.mask[:, 1:])
    with pytest.raises(ValueError, match="text of shape"):
        model.features(lesson._replace(text=short))
    with pytest.raises(ValueError, match="text of shape"):
        model.begin(short, 2, (2, 3))


def test_ids_of_another_shape_are_refused():
    config = tiny_config()
    model, lesson = tiny_model(config), tiny_lesson(config)
    past = model.begin(None, 2, (2, 3))
    for ids in (lesson.clean[:1, 0], lesson.clean[:, 0].transpose(1, 2), lesson.clean[:, 0, :1]):
        with pytest.raises(ValueError, match=r"this past holds streams of \(2, 2, 3\)"):
            model.propose(ids, past)
        with pytest.raises(ValueError, match=r"this past holds streams of \(2, 2, 3\)"):
            model.advance(ids, past)


def test_no_caption_and_an_empty_one_are_the_same_and_a_word_is_not():
    config = tiny_config(context=WORDS)
    model, lesson = tiny_model(config), tiny_lesson(config)
    assert lesson.text is not None
    untold = model.features(lesson._replace(text=None))
    empty = lesson.text.without(torch.tensor([True, True]))
    assert torch.equal(untold, model.features(lesson._replace(text=empty)))
    told = Text(lesson.text.content, torch.tensor([[True, False, False], [False, False, False]]))
    moved = (model.features(lesson._replace(text=told)) - untold).abs().amax((1, 2, 3, 4))
    assert moved[0] > 1e-3
    assert moved[1] == 0


@pytest.mark.parametrize("given", [WORDS, FEATURES], ids=["words", "features"])
def test_what_stands_where_no_token_is_does_not_matter(given):
    config = tiny_config(context=given)
    model, lesson = tiny_model(config), tiny_lesson(config)
    assert lesson.text is not None
    mask = torch.arange(given.length) < torch.tensor([[1], [given.length - 1]])
    content = lesson.text.content.clone()
    content[~mask] = 1
    one, other = (model.features(lesson._replace(text=Text(each, mask))) for each in (lesson.text.content, content))
    assert not torch.equal(content, lesson.text.content)
    assert torch.equal(one, other)


def test_fresh_weights_are_small_and_branches_smaller_the_deeper_the_model():
    torch.manual_seed(0)
    deviations = [LlamaPrior(tiny_config(layers=layers)).layers[0].down.weight.std().item() for layers in (1, 8)]
    assert deviations[0] == pytest.approx(0.02 * 2**-0.5, rel=0.1)
    assert deviations[1] == pytest.approx(0.02 * 16**-0.5, rel=0.1)
