"""Request schemas: checks, the published schema, and the table of sampling settings agree."""

import re
from dataclasses import replace

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampling.config import SETTINGS
from tests.serve.fake_engine import BEGINNING, INFO
from videogen.cli.options import sampling_options
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.request_schemas import (
    build_request_schemas,
    generation_params,
    integer_pattern,
    seconds_pattern,
)
from videogen.serve.http.parsing.schema import RequestSchema, matches
from videogen.serve.limits import ServerLimits

SCHEMAS = build_request_schemas(INFO, ServerLimits())


def refused(fields: RequestSchema, given: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        fields.check(given)
    assert caught.value.status == 400
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("highest", [0, 1, 9, 10, 19, 60, 100, 119, 120, 999, 1000, 1234])
def test_integer_pattern_is_exact(highest):
    matching = [number for number in range(2000) if re.fullmatch(integer_pattern(highest) or "(?!)", str(number))]
    assert matching == list(range(1, highest + 1))


@pytest.mark.parametrize("longest", [1, 9, 60, 120])
@given(st.integers(0, 130), st.from_regex(r"(\.[0-9]{1,3})?", fullmatch=True))
def test_seconds_pattern_is_exact(longest, whole, fraction):
    text = f"{whole}{fraction}"
    matches = re.fullmatch(seconds_pattern(longest), text) is not None
    right = 1 <= float(text) <= longest and not (whole == longest and fraction)
    assert matches == (right and text[0] != "+")


@pytest.mark.parametrize(
    ("given", "param", "code", "fact"),
    [
        ([], None, "not_an_object", ""),
        ({}, "prompt", "missing", ""),
        ({"prompt": None}, "prompt", "missing", ""),
        ({"prompt": ""}, "prompt", "wrong_value", "1 to 2000"),
        ({"prompt": "x" * 2001}, "prompt", "wrong_value", "1 to 2000"),
        ({"prompt": 7}, "prompt", "wrong_value", "prompt is 7"),
        ({"prompt": "x", "promt": "y"}, None, "unknown_field", "prompt?"),
        ({"prompt": "x", "\n\x1b[2J": "y"}, None, "unknown_field", r"'\n\x1b[2J'"),
        ({"prompt": "x", "opening": 2}, None, "unknown_field", "first_frames_step_multiplier"),
        ({"prompt": "x", "steps": 0}, "steps", "wrong_value", "1 to 64"),
        ({"prompt": "x", "steps": 65}, "steps", "wrong_value", "steps is 65"),
        ({"prompt": "x", "steps": 2.5}, "steps", "wrong_value", "whole number"),
        ({"prompt": "x", "steps": True}, "steps", "wrong_value", "True"),
        ({"prompt": "x", "seed": -1}, "seed", "wrong_value", "0 to 9007199254740991"),
        ({"prompt": "x", "seed": 2**53}, "seed", "wrong_value", "0 to 9007199254740991"),
        ({"prompt": "x", "temperature": 1e-9}, "temperature", "wrong_value", "1e-06 to 100"),
        ({"prompt": "x", "temperature": float("nan")}, "temperature", "wrong_value", "nan"),
        ({"prompt": "x", "guidance_scale": float("inf")}, "guidance_scale", "wrong_value", "inf"),
        ({"prompt": "x", "guidance_scale": 10**400}, "guidance_scale", "wrong_value", "0 to 100"),
        ({"prompt": "x", "top_p": 0}, "top_p", "wrong_value", "above 0"),
        ({"prompt": "x", "order": "autoregressive"}, "order", "wrong_value", "halton, confidence"),
        ({"prompt": "x", "order": "next"}, "order", "wrong_value", "order=autoregressive"),
        ({"prompt": "x", "size": "1280x720"}, "size", "wrong_value", "24x16"),
        ({"prompt": "x", "model": "sora-2"}, "model", "wrong_value", "fake"),
        ({"prompt": "x", "seconds": "121"}, "seconds", "wrong_value", "1 to 120"),
        ({"prompt": "x", "seconds": "4; rm"}, "seconds", "wrong_value", "'4; rm'"),
        ({"prompt": "x", "seconds": 2, "frames": 16}, "seconds", "twice", "frames and seconds"),
    ],
)
def test_each_error_is_one_line_with_param_and_code(given, param, code, fact):
    error = refused(SCHEMAS.video, given)
    assert (error.param, error.code) == (param, code)
    assert fact in error.message


def test_a_change_needs_a_field():
    assert refused(SCHEMAS.change, {}).code == "missing"
    assert refused(SCHEMAS.change, {"prompt": None}).code == "missing"


def test_sampling_fields_equal_the_table_and_the_command_line():
    generation_schemas = (SCHEMAS.video, SCHEMAS.extension, SCHEMAS.extension_form, SCHEMAS.stream, SCHEMAS.session)
    published = generation_schemas[0].schema()["properties"]
    for name, spec in SETTINGS.items():
        own = spec.json_schema()
        for request in generation_schemas:
            assert request.schemas[name]["description"] == own["description"] == spec.help
            assert request.schemas[name].get("type") == own.get("type")
        [schema] = [one for one in published[name]["anyOf"] if one != {"type": "null"}]
        assert schema == SCHEMAS.video.schemas[name]
        assert schema.get("default") == INFO.sampler.get(name)
    described = {"prompt", "negative_prompt", "model", "size", "seed", "frames", "seconds"}
    assert set(SCHEMAS.video.schemas) - described == set(SETTINGS)
    command = sampling_options(click.Command("generate"))
    flags = {option.name: option.help for option in command.params if isinstance(option, click.Option)}
    assert {name: flags.get(name) for name in SETTINGS} == {name: spec.help for name, spec in SETTINGS.items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_sampling_setting_is_checked_and_passed_on(name):
    spec = SETTINGS[name]
    schema = SCHEMAS.video.schemas[name]
    value = "64" if "pattern" in schema else schema.get("enum", [spec.minimum or spec.maximum or 1])[-1]
    given = SCHEMAS.video.check({"prompt": "x", name: value})
    assert generation_params(given, INFO, None).sampling == {name: value}
    assert refused(SCHEMAS.video, {"prompt": "x", name: -1}).param == name


def test_group_steps_have_the_limit_of_steps_and_as_many_parts_as_the_model_has_groups():
    two = build_request_schemas(replace(INFO, groups=((1, 1), (2, 3))), ServerLimits())
    for value in ("2+8", "64+64", "1+1"):
        assert two.video.check({"prompt": "x", "group_steps": value})["group_steps"] == value
    assert "N+N" in refused(two.video, {"prompt": "x", "group_steps": "8"}).message
    for value in ("8", "2+8+8", "65+8", "2+65", "0+8", "2 8", "2+8\n", 8):
        assert refused(two.video, {"prompt": "x", "group_steps": value}).param == "group_steps"
    assert refused(SCHEMAS.video, {"prompt": "x", "group_steps": "2+8"}).param == "group_steps"


def test_a_head_without_a_likelihood_is_not_offered_the_order_entropy():
    for likelihood in (False, True):
        schemas = build_request_schemas(replace(INFO, likelihood=likelihood), ServerLimits())
        assert ("entropy" in schemas.video.schemas["order"]["enum"]) == likelihood


def test_null_is_ignored():
    given = {"prompt": "x", "frames": None, "seconds": 2, "seed": None}
    assert SCHEMAS.video.check(given) == {"prompt": "x", "seconds": 2}


VALUES = st.none() | st.booleans() | st.integers(-3, 200) | st.floats(-2, 130) | st.text(max_size=3) | st.just("2.5")
SOME = st.dictionaries(st.sampled_from(sorted(SCHEMAS.video.schemas)), VALUES, max_size=4)


@given(SOME, st.booleans())
def test_check_equals_the_published_schema(given, told):
    jsonschema_rs = pytest.importorskip("jsonschema_rs", reason="an independent reader of JSON Schema")
    given = {**given, **({"prompt": "x"} if told else {})}
    try:
        SCHEMAS.video.check(given)
        taken = True
    except ApiError:
        taken = False
    assert jsonschema_rs.validator_for(SCHEMAS.video.schema()).is_valid(given) == taken


def test_text_of_a_form_is_converted():
    form = {"prompt": "7", "steps": "4", "temperature": "0.5", "seconds": "1.25", "seed": "12", "top_p": "1e-1"}
    given = {"prompt": "7", "steps": 4, "temperature": 0.5, "seconds": 1.25, "seed": 12, "top_p": 0.1}
    assert SCHEMAS.video.check_form(form) == given
    for text in ("", " 4", "4 ", "0x4", "1_0", "٤", "nan", "inf", "true", "9" * 5000, "1e999"):
        with pytest.raises(ApiError) as caught:
            SCHEMAS.video.check_form({"prompt": "x", "steps": text})
        assert caught.value.param == "steps"


def test_nested_objects_are_checked():
    schema = SCHEMAS.extension.schemas["video"]
    assert matches({"id": f"video_{'0' * 32}"}, schema)
    for wrong in (
        {},
        {"id": "../../etc/passwd"},
        {"id": 3},
        {"id": f"video_{'0' * 32}\n"},
        {"id": f"video_{'0' * 32}", "x": 1},
    ):
        assert not matches(wrong, schema)


def test_generation_params_hold_only_given_fields():
    given = SCHEMAS.video.check({"prompt": "x", "seconds": "1.5", "seed": 3, "top_k": 9, "negative_prompt": "y"})
    params = generation_params(given, INFO, BEGINNING)
    assert (params.prompt, params.frames, params.seed, params.negative_prompt) == ("x", 12, 3, "y")
    assert params.initial_frames is BEGINNING
    assert (params.sampling, params.transition) == ({"top_k": 9}, "recache")
    assert generation_params({"seconds": 0.001}, INFO, None).frames == 1
    assert generation_params({}, INFO, None).frames is None
    assert generation_params({}, INFO, BEGINNING).infer_prompt
    assert not generation_params({"prompt": ""}, INFO, BEGINNING).infer_prompt
    assert not generation_params({}, INFO, None).infer_prompt
