"""Every caption parses to its scene, and other text is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videogen.errors import UsageError
from videogen.playroom.grammar import MOTION_WORDS, SHAPE_WORDS, SIZE_WORDS, SPEED_WORDS, OutsideWorldError, caption
from videogen.playroom.grammar import parse as understand
from videogen.playroom.scene import sample_scenes

SCENES = sample_scenes(500, 9)
ALL_WORDS = [
    word
    for words in (SHAPE_WORDS, SIZE_WORDS, MOTION_WORDS, SPEED_WORDS)
    for choices in words.values()
    for word in choices
]


@given(st.sampled_from(SCENES), st.integers(0, 2**32))
def test_a_caption_is_understood_as_its_scene(scene: object, seed: int) -> None:
    assert understand(caption(scene, seed)) == scene.words()  # type: ignore[attr-defined, arg-type]


def test_a_caption_depends_on_scene_and_seed_alone_and_varies() -> None:
    assert caption(SCENES[0], 5) == caption(SCENES[0], 5)
    assert len({caption(SCENES[0], seed) for seed in range(40)}) > 20


def test_every_word_is_said() -> None:
    said = [caption(scene, seed) for seed, scene in enumerate(SCENES * 8)]
    assert [word for word in ALL_WORDS if not any(word in text for text in said)] == []


def test_held_out_words_are_never_said() -> None:
    held_out = ("hoop", "tiny", "rotates", "rapidly", "over")
    for seed, scene in enumerate(SCENES):
        text = caption(scene, seed, held_out)
        assert not {"hoop", "tiny", "rotates", "rapidly", "over"} & set(text.replace(",", "").split())
        assert understand(text) == scene.words()
    with pytest.raises(UsageError):
        caption(SCENES[0], 0, [word for words in SIZE_WORDS.values() for word in words])


def test_a_speed_may_be_left_open() -> None:
    scene = understand("A small red ring drifts left over a dark blue background while a large green star spins.")
    assert [(thing.motion, thing.speed) for thing in scene.things] == [("left", None), ("spins", None)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a cat on a mat",
        "a small red ring",
        "a small red ring drifts left slowly",
        "a small red ring spins slowly over a dark blue background",
        "a small red star stays still slowly over a dark blue background",
        "a small red star slowly spins quickly over a dark blue background",
        "a small red ring drifts left slowly over a dark blue background while a small red star spins slowly",
        "a small red ring drifts left slowly over a dark blue background and then some",
        "a small red ring drifts left slowly over a dark pink background",
    ],
)
def test_other_text_is_outside_the_world(text: str) -> None:
    with pytest.raises(OutsideWorldError) as caught:
        understand(text)
    assert "\n" not in str(caught.value)


def test_of_a_book_only_the_beginning_is_shown() -> None:
    with pytest.raises(OutsideWorldError) as caught:
        understand("a dog runs along the beach and " * 4000)
    assert len(str(caught.value)) < 250
    assert "'a dog runs along the beach" in str(caught.value)
