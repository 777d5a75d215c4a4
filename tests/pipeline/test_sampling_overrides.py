"""The sampling arguments of a call are those of the table, with the same types."""

import inspect
import typing

import pytest

from sampling.config import SETTINGS, SamplerConfig, SamplingOverrides
from videogen.errors import CheckpointError, UsageError
from videogen.models import sampler_of
from videogen.pipeline import VideoPipeline

NAMED = {"guidance_scale"}  # arguments of their own, as in diffusers


def test_the_typed_signature_is_the_table():
    fields, overrides = typing.get_type_hints(SamplerConfig), typing.get_type_hints(SamplingOverrides)
    assert set(overrides) | NAMED == set(SETTINGS)
    for name, hint in overrides.items():
        assert hint == fields[name] | None, name
    for way in (VideoPipeline.__call__, VideoPipeline.stream):
        assert set(inspect.signature(way).parameters) >= NAMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"opening": 2}, "first_frames_step_multiplier"),
        ({"rate": 0.1}, "history_noise"),
        ({"order": "next"}, "autoregressive"),
    ],
)
def test_a_renamed_setting_gives_the_new_name(pipe, old, new):
    with pytest.raises(UsageError, match=new):
        pipe("a red ring", num_frames=1, **old)
    with pytest.raises(UsageError, match=new):
        pipe.stream("a red ring", **old)


def test_a_renamed_setting_in_a_generation_config_gives_the_new_name(pipe):
    from dataclasses import asdict, replace

    old = {**asdict(SamplerConfig()), "opening": 2}
    del old["first_frames_step_multiplier"]
    for written, new in ((old, "first_frames_step_multiplier"), ({"order": "next"}, "order=autoregressive")):
        with pytest.raises(CheckpointError, match=rf"generation_config\.json.*{new}"):
            sampler_of(replace(pipe.model, generation=written))
