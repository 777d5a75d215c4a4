import math

import pytest

from sampling.config import SamplerConfig


@pytest.mark.parametrize(
    ("field", "values"),
    {
        "order": ("spiral", ""),
        "schedule": ("cubic",),
        "guidance_schedule": ("sine",),
        "steps": (0, -1, 2.5, "8"),
        "opening": (0, -1, 1.5),
        "temperature": (-1.0, 1e-9, math.inf, math.nan),
        "top_k": (-1, -5, 1.5),
        "top_p": (0.0, 1.5, math.nan),
        "guidance_scale": (-0.5, math.inf, math.nan),
        "noise": (-1.0, math.nan),
        "threshold": (0.0, 1.1, math.nan),
    }.items(),
)
def test_what_makes_no_sense_is_refused_by_name(field, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{field} = "):
            SamplerConfig(**{field: value})


def test_the_edges_are_allowed():
    SamplerConfig(steps=1, temperature=0, top_k=1, top_p=1, guidance_scale=0, noise=0, threshold=1)
    SamplerConfig(steps=10**6, temperature=1e6, top_k=10**9, top_p=1e-9, guidance_scale=100, threshold=1e-9)


def test_no_second_half_at_scale_1():
    assert not SamplerConfig().guided
    assert SamplerConfig(guidance_scale=0).guided
    assert SamplerConfig(guidance_scale=3).guided
