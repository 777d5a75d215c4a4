from dataclasses import asdict, fields, replace

import pytest

from sampling.config import SamplerConfig
from videogen.serve.engine.validation import sampler_config, validate_request
from videogen.serve.errors import InvalidParamError
from videogen.serve.limits import ServerLimits
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams

LIMITS = ServerLimits(prompt_chars=20, steps=16)
MASKED = ModelInfo(
    name="m",
    objective="masked",
    text_conditioned=True,
    playroom=False,
    fps=8.0,
    height=16,
    width=24,
    frames_per_latent=4,
    groups=((2, 3),),
    default_frames=9,
    window_seconds=1.0,
    frames_of_use=9,
    sampler=asdict(SamplerConfig()),
    examples=(),
    device="cpu",
)
NEXT = replace(MASKED, objective="autoregressive", sampler=asdict(SamplerConfig(order="autoregressive")))
WRONG = [
    ("prompt", "x" * 21),
    ("prompt", None),
    ("prompt", 3),
    ("negative_prompt", "x" * 21),
    ("seed", -1),
    ("seed", 2**63),
    ("seed", 1.5),
    ("seed", True),
    ("steps", 0),
    ("steps", 17),
    ("steps", "8"),
    ("frames", 0),
    ("frames", 101),
    ("order", "sideways"),
    ("order", "autoregressive"),
    ("guidance_scale", -1.0),
    ("guidance_scale", float("inf")),
    ("guidance_scale", float("nan")),
    ("guidance_scale", 10**400),
    ("temperature", -1),
    ("temperature", 1e-9),
    ("top_k", -1),
    ("top_k", 2.5),
    ("top_p", 0.0),
    ("top_p", 1.1),
    ("top_p", "all"),
    ("group_steps", "2+8"),
    ("group_steps", "17"),
    ("group_steps", 8),
    ("guidance_end", 1.5),
    ("entropy_bound", 0),
    ("draft_threshold", 2),
    ("transition", "fade"),
    ("colour", "blue"),
]


def asked(name, value):
    ours = {part.name for part in fields(GenerationParams)}
    changes = {name: value} if name in ours else {"sampling": {name: value}}
    return replace(GenerationParams("a ring"), **changes)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_invalid_parameter_is_named(name, value):
    with pytest.raises(InvalidParamError) as caught:
        validate_request(asked(name, value), MASKED, LIMITS, 100)
    assert caught.value.param == name
    assert caught.value.message == str(caught.value)
    assert "\n" not in caught.value.message
    assert name in caught.value.message


def test_settings_that_the_model_cannot_follow_are_named():
    for name, sampling, info in (
        ("draft_threshold", {"draft_threshold": 0.5}, NEXT),
        ("draft_threshold", {"draft_threshold": 0.5}, replace(MASKED, likelihood=False)),
        ("order", {"order": "entropy"}, replace(MASKED, likelihood=False)),
    ):
        with pytest.raises(InvalidParamError) as caught:
            validate_request(GenerationParams("a ring", sampling=sampling), info, LIMITS, 100)
        assert caught.value.param == name
        assert caught.value.message.startswith(f"{name} = ")


def test_valid_requests_pass():
    validate_request(GenerationParams(""), MASKED, LIMITS, 100)
    sampling = {
        "steps": 16,
        "order": "confidence",
        "guidance_scale": 100,
        "temperature": 0,
        "top_k": 10**6,
        "top_p": 1,
    }
    most = GenerationParams("x" * 20, "y", 2**63 - 1, 100, sampling, "cut")
    validate_request(most, MASKED, LIMITS, 100)
    assert sampler_config(most, MASKED) == SamplerConfig(**sampling)
    assert sampler_config(GenerationParams("x"), MASKED) == SamplerConfig()
    validate_request(GenerationParams("x", sampling={"order": "raster"}), NEXT, LIMITS, 100)


def test_order_must_suit_the_objective():
    with pytest.raises(InvalidParamError) as caught:
        validate_request(GenerationParams("x", sampling={"order": "halton"}), NEXT, LIMITS, 100)
    assert caught.value.param == "order"
