import json
from dataclasses import replace

import pytest

from tests.serve.test_validation import MASKED
from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.models import BUNDLED
from videogen.serve.engine.validation import request_warnings, warning_line
from videogen.serve.requests import GenerationParams, InitialFrames

GUIDED = replace(MASKED, sampler={**MASKED.sampler, "guidance_scale": 4.0})
UNTOLD = replace(MASKED, text_conditioned=False)
RECORD = json.loads((BUNDLED / "prompt_vocabulary.json").read_text())
PLAYROOM = replace(MASKED, playroom=True, prompt_vocabulary=PromptVocabulary.from_json(RECORD))


@pytest.mark.parametrize(
    ("params", "info", "note"),
    [
        (GenerationParams("x"), MASKED, ""),
        (
            GenerationParams("x", negative_prompt="y"),
            MASKED,
            "negative_prompt",
        ),
        (GenerationParams("x", negative_prompt="y", sampling={"guidance_scale": 3}), MASKED, ""),
        (GenerationParams("x", negative_prompt="y"), GUIDED, ""),
        (GenerationParams("x", negative_prompt="y", sampling={"guidance_scale": 1}), GUIDED, "negative_prompt"),
        (GenerationParams("x", negative_prompt=""), MASKED, ""),
        (GenerationParams("x"), UNTOLD, "trained without text"),
        (GenerationParams(""), UNTOLD, ""),
        (GenerationParams("a dragon"), PLAYROOM, "'a dragon' is outside the playroom"),
        (
            GenerationParams("a dog on a beach"),
            PLAYROOM,
            "unknown words 'dog' and 'beach' (known: circle, square, triangle, ring, star);",
        ),
        (GenerationParams("a small red ring drifts left over plain black"), PLAYROOM, ""),
        (GenerationParams(""), PLAYROOM, ""),
        (
            GenerationParams("a crimson disk on navy"),
            PLAYROOM,
            "is read as 'a medium red circle drifts right slowly over a dark blue",
        ),
        (GenerationParams("a crimson disk on navy"), MASKED, ""),
        (
            GenerationParams("a tiny red hoop drifts left over plain black"),
            PLAYROOM,
            "'hoop' and 'tiny' were held out of the training",
        ),
        (GenerationParams("a tiny red hoop drifts left over plain black"), MASKED, ""),
        (GenerationParams("x", initial_frames=InitialFrames("video", b"", 1, "cropped")), MASKED, "cropped"),
        (GenerationParams("x", sampling={"steps": 1000}), MASKED, "steps = 1000: "),
        (
            GenerationParams("x", initial_frames=InitialFrames("video", b"", 1, "cropped")),
            UNTOLD,
            "cropped; the model was trained",
        ),
    ],
)
def test_warnings(params, info, note):
    assert note in warning_line(params, info)
    assert bool(warning_line(params, info)) == bool(note)


def test_warnings_have_structured_parts():
    (warning,) = request_warnings(GenerationParams("a black dragon and a disc"), PLAYROOM)
    told = json.loads(json.dumps(warning.to_json()))
    assert told["kind"] == "prompt_rewritten"
    assert told["missing"] == ["size", "colour", "motion", "ground"]
    assert [each["word"] for each in told["words"]] == ["dragon", "black"]
    assert "red" in told["words"][0]["suggestions"]
    assert told["read_as"] == "a medium yellow disc drifts right slowly over a black background"


@pytest.mark.parametrize("control", ["\u202e", "\u2066", "\u200f", "\u061c", "\n", "\x1b[2J", "\u2028", "\r", "\u009b"])
def test_control_characters_of_a_prompt_are_escaped(control):
    """It cannot reverse the text, clear a terminal or start a line."""
    note = warning_line(GenerationParams(f"a dragon {control} over the sea"), PLAYROOM)
    assert "a dragon" in note
    assert note.isprintable(), ascii(note)


def test_other_scripts_stay():
    assert "\u05d3\u05e8\u05e7\u05d5\u05df \u9f8d \U0001f409" in warning_line(
        GenerationParams("\u05d3\u05e8\u05e7\u05d5\u05df \u9f8d \U0001f409"), PLAYROOM
    )
