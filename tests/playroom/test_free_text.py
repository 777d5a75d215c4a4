"""Free words are rewritten in the playroom's words; captions of the playroom stay the same, to the byte."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.config import resolve
from videogen.errors import CheckpointError
from videogen.models import BUNDLED
from videogen.playroom.grammar import caption, parse
from videogen.playroom.scene import sample_scenes

CONFIGS = Path(__file__).parents[2] / "configs/playroom"
VOCABULARY = PromptVocabulary.from_json(json.loads((BUNDLED / "prompt_vocabulary.json").read_text()))
PHRASES = sorted({word for values in VOCABULARY.synonyms.values() for words in values.values() for word in words})


def test_the_model_has_what_the_configuration_says() -> None:
    assert resolve(CONFIGS / "prompt_vocabulary.yaml", expected="prompt_vocabulary")[1].value == VOCABULARY
    assert resolve(CONFIGS / "held_out.yaml")[1].value.held_out_words == VOCABULARY.held_out_words


@pytest.mark.parametrize("number", range(60))
def test_captions_of_the_playroom_stay_as_they_are(number: int) -> None:
    text = caption(sample_scenes(1, 7, number)[0], number)
    for prompt in (text, text.upper(), f" {text}."):
        reading = VOCABULARY.read(prompt)
        assert (reading.text, reading.unknown, reading.missing, reading.impossible) == (prompt, (), (), "")


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("crimson disk on navy", "a medium red circle drifts right slowly over a dark blue background"),
        ("a PURPLE ball, gray background", "a medium pink ball drifts right slowly over a grey background"),
        (
            "a big yellow star spins over a green background",
            "a big yellow star spins slowly over a dark green background",
        ),
        ("black background with a spinning star", "a medium yellow star spins slowly over a black background"),
        (
            "An enormous blue cube drifting slowly to the left against a checkered gray backdrop!",
            "a large blue square drifts left slowly over a checkered grey background",
        ),
        (
            "a yellow triangle falls while a pink ring rises, on a brown gradient",
            "a medium yellow triangle drifts down slowly over a brown gradient while a medium pink ring rises slowly",
        ),
        ("a ball that is red doesn’t move", "a medium red ball stays still over a black background"),
        (
            "a big wedge against a blue box, sinking",
            "a big yellow wedge drifts right slowly over a black background while a medium blue box drifts down slowly",
        ),
        ("a hoop", "a medium yellow ring drifts right slowly over a black background"),
        ("a star and a ring", None),  # two things without a color get two
    ],
)
def test_free_words_are_understood(prompt: str, text: str | None) -> None:
    reading = VOCABULARY.read(prompt)
    parse(reading.text)
    assert text in (None, reading.text)
    assert reading.unknown == ()


def test_it_says_what_it_did() -> None:
    reading = VOCABULARY.read("a shiny crimson disk on navy")
    assert dict(reading.replaced) == {"crimson": "red", "disk": "circle", "navy": "dark blue"}
    assert reading.missing == ("size", "motion")
    assert reading.added == ("size medium", "motion drifts right", "speed slowly")
    assert [each.word for each in reading.unknown] == ["shiny"]
    typo = VOCABULARY.read("a small red ring drifts lefft over plain black").unknown[0]
    assert (typo.word, typo.suggestions[0]) == ("lefft", "left")


def test_of_many_unknown_words_the_first_are_named() -> None:
    reading = VOCABULARY.read(" ".join(f"wordnumber{number}" for number in range(100)))
    assert [each.word for each in reading.unknown] == [f"wordnumber{number}" for number in range(6)]


def test_what_cannot_be_drawn_stays_and_says_what_it_lacks() -> None:
    reading = VOCABULARY.read("a dog on the beach")
    assert not reading.rewritten
    assert reading.missing == ("shape", "ground")
    assert {each.word: each.suggestions[:2] for each in reading.unknown} == {
        "dog": ("circle", "square"),
        "beach": ("circle", "square"),
    }
    assert VOCABULARY.read("two green hexagons").missing == ("shape", "ground")
    assert "no circle spins" in VOCABULARY.read("a red ball spins over black").impossible
    assert "no circle spins" in VOCABULARY.read("a small red ball spins over plain black").impossible


def test_held_out_words_stay_in_captions_and_are_named_with_others() -> None:
    reading = VOCABULARY.read("a tiny red hoop drifts left over plain black")
    assert not reading.rewritten
    assert {each.word: each.suggestions for each in reading.held_out} == {
        "hoop": ("ring", "loop"),
        "tiny": ("small", "little"),
    }


def test_a_negative_prompt_gets_nothing_added() -> None:
    assert VOCABULARY.read("red", complete=False).text == "red"
    full = "a big crimson disc drifts left slowly over plain black"
    assert VOCABULARY.read(full, complete=False).text == "a big red disc drifts left slowly over a black background"


@given(
    st.lists(
        st.sampled_from([*PHRASES, "a", "the", ",", "over", "red", "ring", "dragon", "black", "€", "x" * 200]),
        max_size=14,
    )
)
def test_whatever_is_said_a_rewritten_prompt_is_in_the_models_words(words: list[str]) -> None:
    """A scene, or one that the playroom cannot show and says so."""
    reading = VOCABULARY.read(" ".join(words))
    again = VOCABULARY.read(reading.text)
    assert again.text == reading.text
    if reading.rewritten:
        assert again.unknown == again.missing == again.held_out == ()
        assert again.impossible == reading.impossible


def test_words_for_what_the_world_does_not_have_are_refused() -> None:
    record = VOCABULARY.to_json()
    for wrong in ({"synonyms": {"shape": {"dog": ["puppy"]}}}, {"synonyms": {"mood": {"sad": ["blue"]}}}):
        with pytest.raises(CheckpointError, match=r"dog|mood"):
            PromptVocabulary.from_json({**record, **wrong}, "prompt_vocabulary.json")
    with pytest.raises(ValueError, match="defaults has size vast"):
        replace(VOCABULARY, defaults={"size": ("vast",)})
