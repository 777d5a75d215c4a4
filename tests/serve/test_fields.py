"""What requests may say: the schema that is published and the check are one thing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serve.fake_engine import BEGINNING, INFO
from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.fields import Fields, fits
from videogen.serve.http.parsing.request_schemas import asking, seconds_pattern, up_to, wish_of
from videogen.serve.limits import ServerLimits

ASKING = asking(INFO, ServerLimits())


def refused(fields: Fields, given: object) -> Problem:
    with pytest.raises(Problem) as caught:
        fields.check(given)
    assert caught.value.status == 400
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("highest", [0, 1, 9, 10, 19, 60, 100, 119, 120, 999, 1000, 1234])
def test_the_pattern_of_whole_numbers_is_exact(highest):
    matching = [number for number in range(2000) if re.fullmatch(up_to(highest) or "(?!)", str(number))]
    assert matching == list(range(1, highest + 1))


@pytest.mark.parametrize("longest", [1, 9, 60, 120])
@given(st.integers(0, 130), st.from_regex(r"(\.[0-9]{1,3})?", fullmatch=True))
def test_seconds_as_text_are_from_one_to_the_longest(longest, whole, fraction):
    text = f"{whole}{fraction}"
    matches = re.fullmatch(seconds_pattern(longest), text) is not None
    right = 1 <= float(text) <= longest and not (whole == longest and fraction)
    assert matches == (right and text[0] != "+")


@pytest.mark.parametrize(
    ("given", "param", "says"),
    [
        ([], None, "must be a JSON object"),
        ({}, "prompt", "prompt is missing"),
        ({"prompt": None}, "prompt", "prompt is missing"),
        ({"prompt": ""}, "prompt", "text of 1 to 2000 characters"),
        ({"prompt": "x" * 2001}, "prompt", "text of 1 to 2000 characters"),
        ({"prompt": 7}, "prompt", "prompt is 7"),
        ({"prompt": "x", "promt": "y"}, None, "did you mean prompt?"),
        ({"prompt": "x", "\n\x1b[2J": "y"}, None, r"'\n\x1b[2J'"),
        ({"prompt": "x", "steps": 0}, "steps", "a whole number from 1 to 64"),
        ({"prompt": "x", "steps": 65}, "steps", "steps is 65"),
        ({"prompt": "x", "steps": 2.5}, "steps", "a whole number"),
        ({"prompt": "x", "steps": True}, "steps", "steps is True"),
        ({"prompt": "x", "seed": -1}, "seed", "from 0 to 9007199254740991"),
        ({"prompt": "x", "seed": 2**53}, "seed", "from 0 to 9007199254740991"),
        ({"prompt": "x", "temperature": 1e-9}, "temperature", "0 or a number from 1e-06 to 100"),
        ({"prompt": "x", "temperature": float("nan")}, "temperature", "temperature is nan"),
        ({"prompt": "x", "guidance_scale": float("inf")}, "guidance_scale", "guidance_scale is inf"),
        ({"prompt": "x", "guidance_scale": 10**400}, "guidance_scale", "a number from 0 to 100"),
        ({"prompt": "x", "top_p": 0}, "top_p", "above 0 and at most 1"),
        ({"prompt": "x", "order": "autoregressive"}, "order", "one of halton, confidence"),
        ({"prompt": "x", "size": "1280x720"}, "size", "it must be 24x16"),
        ({"prompt": "x", "model": "sora-2"}, "model", "it must be fake"),
        ({"prompt": "x", "seconds": "121"}, "seconds", "from 1 to 120"),
        ({"prompt": "x", "seconds": "4; rm"}, "seconds", "seconds is '4; rm'"),
        ({"prompt": "x", "seconds": 2, "frames": 16}, "seconds", "frames and seconds say the same thing"),
    ],
)
def test_each_mistake_is_told_in_one_line(given, param, says):
    problem = refused(ASKING.video, given)
    assert problem.param == param
    assert says in problem.message


def test_nothing_is_asked_for_by_nothing():
    assert "prompt or paused or transition" in refused(ASKING.change, {}).message
    assert "nothing is asked for" in refused(ASKING.change, {"prompt": None}).message


def test_null_is_not_given():
    given = {"prompt": "x", "frames": None, "seconds": 2, "seed": None}
    assert ASKING.video.check(given) == {"prompt": "x", "seconds": 2}


VALUES = st.none() | st.booleans() | st.integers(-3, 200) | st.floats(-2, 130) | st.text(max_size=3) | st.just("2.5")
SOME = st.dictionaries(st.sampled_from(sorted(ASKING.video.schemas)), VALUES, max_size=4)


@given(SOME, st.booleans())
def test_the_check_is_the_published_schema(given, told):
    jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="an independent reader of JSON Schema")
    given = {**given, **({"prompt": "x"} if told else {})}
    try:
        ASKING.video.check(given)
        taken = True
    except Problem:
        taken = False
    assert jsonschema_rs.validator_for(ASKING.video.schema()).is_valid(given) == taken


def test_a_form_is_text_that_stands_for_the_same():
    form = {"prompt": "7", "steps": "4", "temperature": "0.5", "seconds": "1.25", "seed": "12", "top_p": "1e-1"}
    given = {"prompt": "7", "steps": 4, "temperature": 0.5, "seconds": 1.25, "seed": 12, "top_p": 0.1}
    assert ASKING.video.check_form(form) == given
    for text in ("", " 4", "4 ", "0x4", "1_0", "٤", "nan", "inf", "true", "9" * 5000, "1e999"):
        with pytest.raises(Problem) as caught:
            ASKING.video.check_form({"prompt": "x", "steps": text})
        assert caught.value.param == "steps"


def test_objects_are_checked_inside():
    schema = ASKING.extension.schemas["video"]
    assert fits({"id": f"video_{'0' * 32}"}, schema)
    for wrong in (
        {},
        {"id": "../../etc/passwd"},
        {"id": 3},
        {"id": f"video_{'0' * 32}\n"},
        {"id": f"video_{'0' * 32}", "x": 1},
    ):
        assert not fits(wrong, schema)


def test_a_wish_is_what_was_given_and_nothing_else():
    given = ASKING.video.check({"prompt": "x", "seconds": "1.5", "seed": 3, "top_k": 9, "negative_prompt": "y"})
    params = wish_of(given, INFO, BEGINNING)
    assert (params.prompt, params.frames, params.seed, params.negative_prompt) == ("x", 12, 3, "y")
    assert params.initial_frames is BEGINNING
    assert (params.sampling, params.transition) == ({"top_k": 9}, "recache")
    assert wish_of({"seconds": 0.001}, INFO, None).frames == 1
    assert wish_of({}, INFO, None).frames is None
    assert wish_of({}, INFO, BEGINNING).infer_prompt
    assert not wish_of({"prompt": ""}, INFO, BEGINNING).infer_prompt
    assert not wish_of({}, INFO, None).infer_prompt
