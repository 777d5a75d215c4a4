"""Checks of a request before the model process sees it, and warnings about what it would ignore."""

import math
import reprlib
from dataclasses import asdict
from typing import Any, get_args

from sampling.config import SamplerConfig
from videogen.errors import UsageError
from videogen.generation_warnings import GenerationWarning, idle_settings, prompt_warnings
from videogen.models import check_order
from videogen.serve.errors import InvalidParamError
from videogen.serve.limits import ServerLimits
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, Transition

SAMPLING = ("steps", "order", "guidance_scale", "temperature", "top_k", "top_p")
TEXTS = ("prompt", "negative_prompt")
SEEDS, MOST_LIKELY = 2**63, 2**31
LARGEST = 1e12  # of a number


def check(params: GenerationParams, info: ModelInfo, limits: ServerLimits, most_frames: int) -> None:
    """WishError for the first thing about it that cannot be had."""
    check_types(params)
    for name in TEXTS:
        check_text(name, getattr(params, name), limits)
    check_transition(params.transition)
    check_range("seed", params.seed, 0, SEEDS - 1)
    check_range("frames", params.frames, 1, most_frames)
    check_range("steps", params.steps, 1, limits.steps)
    check_range("top_k", params.top_k, 0, MOST_LIKELY)
    check_sampling(params, info)


def sampling_overrides(params: GenerationParams) -> dict[str, Any]:
    """What it says about sampling; the rest is as in the model's own settings."""
    return {name: getattr(params, name) for name in SAMPLING if getattr(params, name) is not None}


def check_text(name: str, text: str | None, limits: ServerLimits) -> None:
    if text is not None and len(text) > limits.prompt_chars:
        raise InvalidParamError(name, f"{name} has {len(text)} characters; at most {limits.prompt_chars} are taken")


def check_transition(transition: Any) -> None:
    if transition not in get_args(Transition):
        raise InvalidParamError(
            "transition", f"transition is {shown(transition)}; it is {' or '.join(get_args(Transition))}"
        )


def check_types(params: GenerationParams) -> None:
    for names, right, what in KINDS:
        for name in names:
            value = getattr(params, name)
            if (value is not None or name == "prompt") and not right(value):
                raise InvalidParamError(name, f"{name} is {shown(value)}; it is {what}")


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def shown(value: Any) -> str:
    """Enough of it for a line."""
    return reprlib.repr(value)


def check_range(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise InvalidParamError(name, f"{name} is {shown(value)}; it is {least} to {most}")


def sampler_config(params: GenerationParams, info: ModelInfo) -> SamplerConfig:
    """All settings of sampling that hold for it."""
    return SamplerConfig(**{**asdict(SamplerConfig()), **info.sampler, **sampling_overrides(params)})


def check_sampling(params: GenerationParams, info: ModelInfo) -> None:
    try:
        sampler = sampler_config(params, info)
    except (ValueError, OverflowError) as error:
        name = str(error).split(" ", 1)[0]
        raise InvalidParamError(name if name in SAMPLING else None, str(error)) from None
    try:
        check_order(sampler.order, info.objective)
    except UsageError as error:
        raise InvalidParamError("order", str(error)) from None


def request_warnings(params: GenerationParams, info: ModelInfo) -> list[GenerationWarning]:
    warnings = (
        [GenerationWarning("input_changed", params.initial_frames.note)]
        if params.initial_frames and params.initial_frames.note
        else []
    )
    if params.prompt and not info.told:
        text = "the model was taught without text: the prompt changes nothing"
        warnings.append(GenerationWarning("no_effect", text, params.prompt))
    warnings += prompt_warnings(info.prompt_vocabulary, [params.prompt])
    if params.negative_prompt and not sampler_config(params, info).guided:
        text = "negative_prompt changes nothing while guidance_scale is 1"
        warnings.append(GenerationWarning("no_effect", text, params.negative_prompt))
    tokens = sum(math.prod(shape) for shape in info.groups)
    return warnings + idle_settings(sampler_config(params, info), sampling_overrides(params), tokens)


def warning_line(params: GenerationParams, info: ModelInfo) -> str:
    """The same in one line for people; empty: there is nothing to say."""
    return "; ".join(map(str, request_warnings(params, info)))


KINDS = (
    (("seed", "steps", "top_k", "frames"), is_whole, "a whole number"),
    (("guidance_scale", "temperature", "top_p"), is_number, f"a number of at most {LARGEST:g}"),
    ((*TEXTS, "order"), is_text, "text"),
)
