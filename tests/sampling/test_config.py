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
        "entropy_bound": (0.0, -1.0, math.inf, math.nan, None),
        "draft_threshold": (0.0, 1.1, math.nan, "all"),
        "guidance_start": (-0.1, 1.1, math.nan),
        "guidance_end": (-0.1, 1.1, math.nan),
        "group_steps": ("", "0", "2+", "+2", "2+0", "2,8", "2+8+", "-1", "2+8\n", "٣", 8, 2.5),
    }.items(),
)
def test_a_value_outside_of_its_range_is_an_error_with_its_name(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{field} = "):
            SamplerConfig(**{field: value})


def test_the_edges_are_allowed():
    SamplerConfig(steps=1, temperature=0, top_k=1, top_p=1, guidance_scale=0, noise=0, threshold=1)
    SamplerConfig(steps=10**6, temperature=1e6, top_k=0, top_p=1e-9, guidance_scale=100, threshold=1e-9)
    SamplerConfig(guidance_start=0, guidance_end=0, entropy_bound=1e-9, draft_threshold=1, group_steps="1")
    SamplerConfig(guidance_start=1, guidance_end=1, entropy_bound=1e9, draft_threshold=1e-9, group_steps="1+20+300")


def test_no_duplication_at_guidance_scale_1():
    assert not SamplerConfig().guided
    assert SamplerConfig(guidance_scale=0).guided
    assert SamplerConfig(guidance_scale=3).guided


def test_every_setting_has_a_help_text():
    for spec in SETTINGS.values():
        assert spec.help.endswith("."), spec.name
        spec.check(spec.default)
        assert (bool(spec.choices) or bool(spec.pattern and spec.form)) == (spec.kind is str), spec.name


def test_a_schema_has_the_range_of_the_table_or_a_tighter_one():
    assert SETTINGS["steps"].json_schema(64) == {
        "type": "integer", "minimum": 1, "maximum": 64, "description": SETTINGS["steps"].help,
    }  # fmt: skip
    assert SETTINGS["top_p"].json_schema(100)["maximum"] == 1
    assert SETTINGS["top_p"].json_schema()["exclusiveMinimum"] == 0
    assert SETTINGS["temperature"].json_schema()["anyOf"][0]["enum"] == [0]
    assert "autoregressive" in SETTINGS["order"].json_schema()["enum"]


def test_the_settings_of_the_bundled_model_are_in_the_table():
    """It was written before the newest ones, which have their defaults."""
    stored = json.loads(BUNDLED.read_text())
    assert set(stored) <= set(SETTINGS)
    newest = {"group_steps", "guidance_drops", "guidance_start", "guidance_end", "entropy_bound", "draft_threshold"}
    assert set(SETTINGS) - set(stored) == newest
    SamplerConfig(**stored)


def test_an_old_order_is_refused_with_its_new_name():
    with pytest.raises(ValueError, match="autoregressive"):
        SamplerConfig(order="next")  # type: ignore[arg-type]


def test_an_incompatible_order_names_the_compatible_ones():
    for objective, orders in ORDERS.items():
        for order in SETTINGS["order"].choices:
            reason = incompatibility(SamplerConfig(order=order), objective)  # type: ignore[arg-type]
            assert (reason is None) == (order in orders)
            assert reason is None or all(each in reason for each in orders)


def test_without_a_likelihood_there_is_neither_entropy_nor_draft():
    assert incompatibility(SamplerConfig(), "masked", likelihood=False) is None
    for settings in ({"order": "entropy"}, {"draft_threshold": 0.5}):
        assert incompatibility(SamplerConfig(**settings), "masked") is None
        [name] = settings
        reason = incompatibility(SamplerConfig(**settings), "masked", likelihood=False)
        assert reason is not None
        assert reason.startswith(f"{name} = ")
        assert "no likelihood" in reason
    assert "entropy" not in incompatibility(SamplerConfig(order="autoregressive"), "masked", likelihood=False)


def test_a_draft_needs_a_masked_prior():
    sampler = SamplerConfig(order="raster", draft_threshold=0.5)
    assert incompatibility(sampler, "masked") is None
    reason = incompatibility(sampler, "autoregressive")
    assert reason is not None
    assert reason.startswith("draft_threshold = 0.5 does not work")


@pytest.mark.parametrize(
    ("given", "groups", "fits"), [("4", 1, True), ("2+8", 2, True), ("2+8", 1, False), ("4", 3, False)]
)
def test_group_steps_are_for_as_many_groups_as_the_model_has(given, groups, fits):
    sampler = SamplerConfig(group_steps=given)
    assert incompatibility(sampler, "masked") is None  # where the groups are unknown
    reason = incompatibility(sampler, "masked", groups=groups)
    assert (reason is None) == fits
    assert fits or (reason is not None and reason.startswith(f"group_steps = {given}: "))


def test_steps_of_groups():
    plain, own = SamplerConfig(steps=5), SamplerConfig(steps=5, group_steps="2+9", first_frames_step_multiplier=3)
    assert [plain.steps_of(64, group) for group in (0, 1)] == [5, 5]
    assert [own.steps_of(64, group) for group in (0, 1)] == [2, 9]
    assert [own.steps_of(4, group) for group in (0, 1)] == [2, 4]
    first = own.of_frame(1)
    assert (first.steps, first.group_steps) == (15, "6+27")
    assert own.of_frame(2) is own
    assert SamplerConfig(order="raster", group_steps="2+9").steps_of(7, 1) == 7
