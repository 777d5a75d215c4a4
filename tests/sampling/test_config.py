import json
import math
from pathlib import Path

import pytest

from sampling.config import ORDERS, SETTINGS, SamplerConfig, incompatibility

BUNDLED = Path(__file__).parents[2] / "videogen" / "models" / "playroom" / "generation_config.json"


@pytest.mark.parametrize(
    ("field", "values"),
    {
        "order": ("spiral", "", None),
        "schedule": ("cubic",),
        "guidance_schedule": ("sine",),
        "steps": (0, -1, 2.5, "8", None),
        "first_frames_step_multiplier": (0, -1, 1.5),
        "temperature": (-1.0, 1e-9, math.inf, math.nan, "1"),
        "top_k": (-1, -5, 1.5),
        "top_p": (0.0, 1.5, math.nan, "all"),
        "guidance_scale": (-0.5, math.inf, math.nan, None),
        "noise": (-1.0, math.nan),
        "threshold": (0.0, 1.1, math.nan),
    }.items(),
)
def test_a_value_outside_of_its_range_is_an_error_with_its_name(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{field} = "):
            SamplerConfig(**{field: value})


def test_the_edges_are_allowed():
    SamplerConfig(steps=1, temperature=0, top_k=1, top_p=1, guidance_scale=0, noise=0, threshold=1)
    SamplerConfig(steps=10**6, temperature=1e6, top_k=0, top_p=1e-9, guidance_scale=100, threshold=1e-9)


def test_no_duplication_at_guidance_scale_1():
    assert not SamplerConfig().guided
    assert SamplerConfig(guidance_scale=0).guided
    assert SamplerConfig(guidance_scale=3).guided


def test_every_setting_has_a_help_text():
    for spec in SETTINGS.values():
        assert spec.help.endswith("."), spec.name
        spec.check(spec.default)
        assert bool(spec.choices) == (spec.kind is str), spec.name


def test_a_schema_has_the_range_of_the_table_or_a_tighter_one():
    assert SETTINGS["steps"].json_schema(64) == {
        "type": "integer", "minimum": 1, "maximum": 64, "description": SETTINGS["steps"].help,
    }  # fmt: skip
    assert SETTINGS["top_p"].json_schema(100)["maximum"] == 1
    assert SETTINGS["top_p"].json_schema()["exclusiveMinimum"] == 0
    assert SETTINGS["temperature"].json_schema()["anyOf"][0]["enum"] == [0]
    assert "autoregressive" in SETTINGS["order"].json_schema()["enum"]


def test_the_bundled_model_has_every_setting_of_the_table():
    assert set(json.loads(BUNDLED.read_text())) == set(SETTINGS)


def test_an_old_order_is_refused_with_its_new_name():
    with pytest.raises(ValueError, match="autoregressive"):
        SamplerConfig(order="next")  # type: ignore[arg-type]


def test_an_incompatible_order_names_the_compatible_ones():
    for objective, orders in ORDERS.items():
        for order in SETTINGS["order"].choices:
            reason = incompatibility(order, objective)  # type: ignore[arg-type]
            assert (reason is None) == (order in orders)
            assert reason is None or all(each in reason for each in orders)
