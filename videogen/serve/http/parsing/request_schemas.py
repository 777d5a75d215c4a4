"""The schemas of all requests for one model, and the GenerationParams that they make."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from prior.config import ControlConfig
from sampling.config import SETTINGS, SamplerConfig, orders_of
from videogen.control_plan import LARGEST, NONE, describe_plan
from videogen.serve.engine.validation import NO_CONTROL
from videogen.serve.http.parsing.schema import RequestSchema, Schema
from videogen.serve.limits import ServerLimits
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, InitialFrames, Transition

MAX_SEED = 2**53 - 1  # the largest that JavaScript's numbers hold exactly
MAX_SETTING, MAX_MULTIPLIER, MAX_TOP_K = 100, 8, 2**31 - 1  # of settings that have no maximum in the table
MAX_CONTROLS = 4096  # in a list
LENGTH = ("frames", "seconds")  # only one of them may be given
TRANSITION: Schema = {
    "type": "string",
    "enum": list(get_args(Transition)),
    "description": "How later prompts take over: recache continues the scene, cut starts a new one.",
}
VIDEO_ID: Schema = {"type": "string", "pattern": "^video_[0-9a-f]{32}$"}
STREAM_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


@dataclass(frozen=True)
class RequestSchemas:
    """The schema of every request that has a body."""

    video: RequestSchema
    extension: RequestSchema
    extension_form: RequestSchema  # the video is a file, or its id is a field
    stream: RequestSchema
    change: RequestSchema
    session: RequestSchema  # of WebSockets
    interaction: RequestSchema


def build_request_schemas(info: ModelInfo, limits: ServerLimits) -> RequestSchemas:
    common = {**request_fields(info, limits), **sampling_fields(info, limits)}
    prompt = text_schema(limits.prompt_chars, "What the video shows.")
    required_prompt = {**prompt, "minLength": 1}
    length = length_fields(info.fps, min(limits.frames / info.fps, limits.stream_seconds), limits.frames)
    longest = limits.stream_seconds
    stream = {
        "prompt": prompt,
        **common,
        **length_fields(info.fps, longest, int(longest * info.fps)),
        "transition": TRANSITION,
    }
    change = {"prompt": prompt, "paused": {"type": "boolean"}, "transition": TRANSITION, **control_fields(info)}
    refused = {} if info.control else {"control": NO_CONTROL}

    def generation(
        fields: Mapping[str, Schema], required: tuple[str, ...], exclusive: tuple[str, ...]
    ) -> RequestSchema:
        return RequestSchema(fields, required, exclusive, renamed=SamplerConfig.RENAMED, refused=refused)

    return RequestSchemas(
        generation({"prompt": required_prompt, **common, **length}, ("prompt",), LENGTH),
        generation({"prompt": prompt, **common, **length, "video": video_reference()}, ("video",), LENGTH),
        generation({"prompt": prompt, **common, **length, "video[id]": VIDEO_ID}, (), LENGTH),
        generation(stream, (), LENGTH),
        RequestSchema(change, at_least_one=True, refused=refused),
        generation({**stream, **session_fields(info, limits)}, ("type",), (*LENGTH, "num_frames")),
        RequestSchema(interaction_fields(prompt, info), ("type", "interaction")),
    )


def request_fields(info: ModelInfo, limits: ServerLimits) -> dict[str, Schema]:
    return {
        "model": {"type": "string", "enum": [info.name]},
        "size": {"type": "string", "enum": [size_of(info)], "description": "Width x height; a model has one."},
        "negative_prompt": text_schema(limits.prompt_chars, "What the video should not show."),
        "seed": integer_schema(0, MAX_SEED, "The same seed gives the same video."),
        **control_fields(info),
    }


def control_fields(info: ModelInfo) -> dict[str, Schema]:
    """The field `control` of a model that takes some."""
    return {} if info.control is None else {"control": control_schema(info.control)}


def control_schema(config: ControlConfig) -> Schema:
    """One control, or a list of them; an action is a number, other controls are lists of numbers."""
    no_control: Schema = {"type": "string", "enum": [NONE]}
    if config.floats is None:
        one: Schema = integer_schema(0, (config.discrete or 1) - 1, "The number of an action.")
    else:
        number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
        one = {"type": "array", "items": number, "minItems": config.floats, "maxItems": config.floats}
    several = {"type": "array", "items": {"anyOf": [one, no_control]}, "minItems": 1, "maxItems": MAX_CONTROLS}
    about = "Of each of the next latent frames; the last one holds. none: without."
    return {"anyOf": [one, no_control, several], "title": f"{describe_plan(config)}, or {NONE}", "description": about}


def sampling_fields(info: ModelInfo, limits: ServerLimits) -> dict[str, Schema]:
    """All settings of the sampler, with the limits of the server and the model's own settings as defaults."""
    maxima = {"steps": limits.steps, "first_frames_step_multiplier": MAX_MULTIPLIER, "top_k": MAX_TOP_K}
    schemas = {name: spec.json_schema(maxima.get(name, MAX_SETTING)) for name, spec in SETTINGS.items()}
    schemas["order"]["enum"] = list(orders_of(info.objective, info.likelihood))
    schemas["group_steps"] |= group_steps_limits(limits.steps, len(info.groups))
    if info.control is None:
        schemas["guidance_drops"]["enum"] = ["text"]
    for name, schema in schemas.items():
        if info.sampler.get(name) is not None:
            schema["default"] = info.sampler[name]
    return schemas


def group_steps_limits(steps: int, groups: int) -> Schema:
    """At most so many steps for each of the model's groups of tokens."""
    each, example = f"({integer_pattern(steps)})", "+".join(["N"] * groups)
    return {
        "pattern": f"^{'[+]'.join([each] * groups)}$",
        "title": f"text of the form {example}, the steps of each group of tokens, each from 1 to {steps}",
    }


def length_fields(fps: float, longest: float, frames: int) -> dict[str, Schema]:
    """The length in frames, or in seconds, which OpenAI's clients send as text."""
    as_number: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": longest}
    title = f"the same as text, from 1 to {int(longest)}"
    as_text: Schema = {"type": "string", "pattern": seconds_pattern(int(longest)), "title": title}
    return {"seconds": {"anyOf": [as_number, as_text]}, "frames": integer_schema(1, frames, "Length in frames.")}


def session_fields(info: ModelInfo, limits: ServerLimits) -> dict[str, Schema]:
    """The fields of session.start that a stream does not have, as other servers of live video name them."""
    return {
        "type": {"type": "string", "enum": ["session.start"]},
        "format": {"type": "string", "enum": ["m4s"]},
        "width": {"type": "integer", "enum": [info.width]},
        "height": {"type": "integer", "enum": [info.height]},
        "fps": {"type": "number", "enum": [info.fps]},
        "num_frames": integer_schema(1, int(limits.stream_seconds * info.fps), "Length in frames."),
    }


def interaction_fields(prompt: Schema, info: ModelInfo) -> dict[str, Schema]:
    refused: Schema = {"enum": [], "title": "left out: this model takes no control"}
    control = control_fields(info).get("control", refused)
    event: Schema = {"type": "object", "properties": {"prompt": prompt, "control": control}, "minProperties": 1}
    event_id = text_schema(100, "Chosen by the client, and repeated in the answer.")
    interaction = {"event_id": event_id, "event": event, "transition": TRANSITION}
    return {
        "type": {"type": "string", "enum": ["session.interaction"]},
        "interaction": {
            "type": "object",
            "properties": interaction,
            "required": ["event"],
            "additionalProperties": False,
        },
    }


def video_reference() -> Schema:
    """A finished video of the server."""
    return {"type": "object", "properties": {"id": VIDEO_ID}, "required": ["id"], "additionalProperties": False}


def generation_params(
    given: Mapping[str, Any], info: ModelInfo, initial_frames: InitialFrames | None
) -> GenerationParams:
    frames = given.get("frames", given.get("num_frames"))
    if "seconds" in given:
        frames = max(1, round(float(given["seconds"]) * info.fps))
    return GenerationParams(
        given.get("prompt", ""),
        negative_prompt=given.get("negative_prompt"),
        seed=given.get("seed"),
        frames=frames,
        sampling={name: given[name] for name in SETTINGS if name in given},
        transition=given.get("transition", "recache"),
        initial_frames=initial_frames,
        infer_prompt=initial_frames is not None and "prompt" not in given,
        control=given.get("control"),
    )


def size_of(info: ModelInfo) -> str:
    return f"{info.width}x{info.height}"


def integer_schema(minimum: int, maximum: int, description: str) -> Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "description": description}


def text_schema(max_length: int, description: str) -> Schema:
    return {"type": "string", "maxLength": max_length, "description": description}


def seconds_pattern(longest: int) -> str:
    """A pattern for seconds as text: whole numbers up to the longest, and below it up to three decimals."""
    below = integer_pattern(longest - 1)
    fraction = rf"(({below})\.[0-9]{{1,3}})|" if below else ""
    return f"^({fraction}{integer_pattern(longest) or '1'})$"


def integer_pattern(highest: int) -> str:
    """A pattern for the whole numbers from 1 to the highest; empty if there are none."""
    digits = str(max(highest, 0))
    shorter = [f"[1-9][0-9]{{{length - 1}}}" for length in range(1, len(digits))]
    same_length = []
    for position, digit in enumerate(digits):
        lowest = 1 if position == 0 else 0
        if int(digit) > lowest:
            rest = len(digits) - position - 1
            same_length.append(f"{digits[:position]}[{lowest}-{int(digit) - 1}][0-9]{{{rest}}}")
    return "|".join([*shorter, *same_length, digits]) if highest > 0 else ""
