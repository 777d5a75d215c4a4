from dataclasses import replace

import pytest

from tests.serve.test_checking import MASKED
from videogen.serve.remarks import note_on
from videogen.serve.wishes import Beginning, Wish

GUIDED = replace(MASKED, sampler={**MASKED.sampler, "guidance_scale": 4.0})
UNTOLD = replace(MASKED, told=False)
PLAYROOM = replace(MASKED, playroom=True)


@pytest.mark.parametrize(
    ("wish", "info", "note"),
    [
        (Wish("x"), MASKED, ""),
        (Wish("x", negative_prompt="y"), MASKED, "negative_prompt changes nothing while guidance_scale is 1"),
        (Wish("x", negative_prompt="y", guidance_scale=3), MASKED, ""),
        (Wish("x", negative_prompt="y"), GUIDED, ""),
        (Wish("x", negative_prompt="y", guidance_scale=1), GUIDED, "negative_prompt changes nothing"),
        (Wish("x", negative_prompt=""), MASKED, ""),
        (Wish("x"), UNTOLD, "taught without text"),
        (Wish(""), UNTOLD, ""),
        (Wish("a dragon"), PLAYROOM, "'a dragon' is outside the playroom"),
        (Wish("a small red ring drifts left over plain black"), PLAYROOM, ""),
        (Wish(""), PLAYROOM, ""),
        (
            Wish("a tiny red hoop drifts left over plain black"),
            PLAYROOM,
            "'hoop' and 'tiny' were kept out of the training",
        ),
        (Wish("a tiny red hoop drifts left over plain black"), MASKED, ""),
        (Wish("x", beginning=Beginning("video", b"", 1, "cropped")), MASKED, "cropped"),
        (Wish("x", steps=1000), MASKED, "tokens, and takes no more proposals than that"),
        (Wish("x", beginning=Beginning("video", b"", 1, "cropped")), UNTOLD, "cropped; the model was taught"),
    ],
)
def test_what_changes_nothing_is_said(wish, info, note):
    assert note in note_on(wish, info)
    assert bool(note_on(wish, info)) == bool(note)
