"""Checks of a request before the model process sees it, and warnings about what it would ignore."""

import math
import reprlib
from dataclasses import asdict
from typing import Any, get_args

from sampling.config import SETTINGS, SamplerConfig, incompatibility
from videogen.control_plan import ControlPlan, control_plan
from videogen.generation.generation_warnings import GenerationWarning, idle_settings, no_negatives, prompt_warnings
from videogen.serve.errors import InvalidParamError
from videogen.serve.limits import ServerLimits
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, Transition

MAX_SEED, MAX_TOP_K = 2**63 - 1, 2**31
MAX_NUMBER = 1e12
NO_CONTROL = "control: this model takes none"


def validate_request(params: GenerationParams, info: ModelInfo, limits: ServerLimits, max_frames: int) -> None:
    """InvalidParamError for the first parameter that is invalid."""
    if params.prompt is None:
        raise InvalidParamError("prompt", "prompt is missing")
    check_text("prompt", params.prompt, limits)
    check_text("negative_prompt", params.negative_prompt, limits)
    check_transition(params.transition)
    check_whole("seed", params.seed, 0, MAX_SEED)
    check_whole("frames", params.frames, 1, max_frames)
    for name, value in params.sampling.items():
        check_setting(name, value)
    check_whole("steps", params.sampling.get("steps"), 1, limits.steps)
    check_whole("top_k", params.sampling.get("top_k"), 0, MAX_TOP_K)
    check_groups(params.sampling.get("group_steps"), limits.steps)
    sampler = sampler_config(params, info)
    if (reason := incompatibility(sampler, info.objective, info.likelihood, len(info.groups))) is not None:
        raise InvalidParamError(reason.partition(" ")[0], reason)
    if sampler.guided and sampler.drops_control and info.control is None:
        reason = f"guidance_drops = {sampler.guidance_drops}: this model takes no control; use text"
        raise InvalidParamError("guidance_drops", reason)
    check_control(params.control, info)


def check_text(name: str, text: Any, limits: ServerLimits) -> None:
    if text is not None and not isinstance(text, str):
        raise InvalidParamError(name, f"{name} is {shorten(text)}; it must be text")
    if text is not None and len(text) > limits.prompt_chars:
        raise InvalidParamError(name, f"{name} has {len(text)} characters; the limit is {limits.prompt_chars}")


def check_transition(transition: Any) -> None:
    if transition not in get_args(Transition):
        choices = " or ".join(get_args(Transition))
        raise InvalidParamError("transition", f"transition is {shorten(transition)}; it must be {choices}")


def check_control(control: Any, info: ModelInfo) -> ControlPlan | None:
    """The control of the next latent frames; None stays None."""
    if control is None:
        return None
    if info.control is None:
        raise InvalidParamError("control", NO_CONTROL)
    try:
        return control_plan(control, info.control)
    except ValueError as error:
        raise InvalidParamError("control", str(error)) from None


def check_whole(name: str, value: Any, minimum: int, maximum: int) -> None:
    """None is valid."""
    if value is not None and not (is_number(value) and isinstance(value, int) and minimum <= value <= maximum):
        raise InvalidParamError(
            name, f"{name} is {shorten(value)}; it must be a whole number from {minimum} to {maximum}"
        )


def check_groups(group_steps: str | None, maximum: int) -> None:
    """The steps of each group have the limit of `steps`; None is valid."""
    if group_steps is not None and any(int(steps) > maximum for steps in group_steps.split("+")):
        raise InvalidParamError("group_steps", f"group_steps is {shorten(group_steps)}; each must be at most {maximum}")


def check_setting(name: str, value: Any) -> None:
    """A sampling setting against the table; MAX_NUMBER bounds what the table does not."""
    if name not in SETTINGS:
        raise InvalidParamError(name, f"there is no sampling setting {shorten(name)}")
    spec = SETTINGS[name]
    if spec.kind is not str and not (is_number(value) and abs(value) <= MAX_NUMBER):
        raise InvalidParamError(name, f"{name} is {shorten(value)}; it must be {spec.expected}")
    try:
        spec.check(value)
    except ValueError as error:
        raise InvalidParamError(name, str(error)) from None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shorten(value: Any) -> str:
    return reprlib.repr(value)


def sampler_config(params: GenerationParams, info: ModelInfo) -> SamplerConfig:
    """The model's own settings with those of the request."""
    return SamplerConfig(**{**asdict(SamplerConfig()), **info.sampler, **params.sampling})


def request_warnings(params: GenerationParams, info: ModelInfo) -> list[GenerationWarning]:
    """Warnings about what the model ignores, or reads in another way."""
    sampler, initial = sampler_config(params, info), params.initial_frames
    warnings = [GenerationWarning("input_changed", initial.note)] if initial and initial.note else []
    if params.prompt and not info.text_conditioned:
        text = "the model was trained without text: the prompt has no effect"
        warnings.append(GenerationWarning("no_effect", text, params.prompt))
    warnings += prompt_warnings(info.prompt_vocabulary, [params.prompt])
    if params.negative_prompt and (why := no_negatives(sampler)):
        text = f"negative_prompt has no effect while {why}"
        warnings.append(GenerationWarning("no_effect", text, params.negative_prompt))
    tokens = sum(math.prod(shape) for shape in info.groups)
    return warnings + idle_settings(sampler, params.sampling, tokens)


def warning_line(params: GenerationParams, info: ModelInfo) -> str:
    """All warnings in one line; empty if there are none."""
    return "; ".join(map(str, request_warnings(params, info)))
