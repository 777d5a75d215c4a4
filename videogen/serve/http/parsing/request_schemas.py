"""What can be asked of one model, and what is then wished for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sampling.config import ORDERS, SETTINGS
from videogen.serve.http.parsing.fields import Fields, Schema
from videogen.serve.limits import ServerLimits
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams, InitialFrames

LARGEST_SEED = 2**53 - 1  # the largest that JavaScript's numbers hold exactly
COLDEST = 1e-6  # a temperature closer to 0 than this is refused by the samplers
TRANSITION: Schema = {
    "type": "string",
    "enum": ["recache", "cut"],
    "description": "How later prompts take over: the scene goes on, told otherwise; or another one begins.",
}
VIDEO_ID: Schema = {"type": "string", "pattern": "^video_[0-9a-f]{32}$"}
STREAM_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


@dataclass(frozen=True)
class Asking:
    """The fields of every request that has a body."""

    video: Fields
    extension: Fields
    extension_form: Fields  # where the video is a file, or its id a field
    stream: Fields
    change: Fields
    session: Fields  # over a WebSocket
    interaction: Fields


def asking(info: ModelInfo, limits: ServerLimits) -> Asking:
    common = sampling_fields(info, limits)
    prompt = text_of(limits.prompt_chars, "What is to be seen.")
    told = {**prompt, "minLength": 1}
    length = length_fields(info.fps, min(limits.frames / info.fps, limits.stream_seconds), limits.frames)
    longest = limits.stream_seconds
    stream = {
        "prompt": prompt,
        **common,
        **length_fields(info.fps, longest, int(longest * info.fps)),
        "transition": TRANSITION,
    }
    change = {"prompt": prompt, "paused": {"type": "boolean"}, "transition": TRANSITION}
    return Asking(
        Fields({"prompt": told, **common, **length}, ("prompt",), ("frames", "seconds")),
        Fields({"prompt": prompt, **common, **length, "video": reference()}, ("video",), ("frames", "seconds")),
        Fields({"prompt": prompt, **common, **length, "video[id]": VIDEO_ID}, (), ("frames", "seconds")),
        Fields(stream, (), ("frames", "seconds")),
        Fields(change, at_least_one=True),
        Fields({**stream, **session_fields(info, limits)}, ("type",), ("frames", "seconds", "num_frames")),
        Fields(interaction_fields(prompt), ("type", "interaction")),
    )


def sampling_fields(info: ModelInfo, limits: ServerLimits) -> dict[str, Schema]:
    cold = {"type": "number", "enum": [0]}
    return {
        "model": {"type": "string", "enum": [info.name]},
        "size": {"type": "string", "enum": [size_of(info)], "description": "Width x height; a model has one."},
        "negative_prompt": text_of(limits.prompt_chars, "What guidance leads away from."),
        "seed": whole(0, LARGEST_SEED, "The same seed gives the same video."),
        "steps": whole(1, limits.steps, "Proposals a latent frame; fewer are faster."),
        "order": {"type": "string", "enum": list(ORDERS[info.objective])},
        "guidance_scale": number(0, 100, "Above 1: closer to the prompt, at twice the cost."),
        "temperature": {"anyOf": [cold, number(COLDEST, 100, "Below 1 more likely, above 1 more varied.")]},
        "top_k": whole(0, 2**31 - 1, "Draw among the k most probable; 0: among all."),
        "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    }


def length_fields(fps: float, longest: float, frames: int) -> dict[str, Schema]:
    """How long: in pictures, or in seconds, which may be text as OpenAI's clients have it."""
    as_number: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": longest}
    title = f"that as text, from 1 to {int(longest)}"
    as_text: Schema = {"type": "string", "pattern": seconds_pattern(int(longest)), "title": title}
    return {"seconds": {"anyOf": [as_number, as_text]}, "frames": whole(1, frames, "Pictures.")}


def session_fields(info: ModelInfo, limits: ServerLimits) -> dict[str, Schema]:
    """What a session says beyond a stream, in the words of the servers that have such sessions."""
    return {
        "type": {"type": "string", "enum": ["session.start"]},
        "format": {"type": "string", "enum": ["m4s"]},
        "width": {"type": "integer", "enum": [info.width]},
        "height": {"type": "integer", "enum": [info.height]},
        "fps": {"type": "number", "enum": [info.fps]},
        "num_frames": whole(1, int(limits.stream_seconds * info.fps), "Pictures."),
    }


def interaction_fields(prompt: Schema) -> dict[str, Schema]:
    event: Schema = {"type": "object", "properties": {"prompt": prompt}, "required": ["prompt"]}
    about = {"event_id": text_of(100, "Yours, to tell answers apart."), "event": event, "transition": TRANSITION}
    return {
        "type": {"type": "string", "enum": ["session.interaction"]},
        "interaction": {"type": "object", "properties": about, "required": ["event"], "additionalProperties": False},
    }


def reference() -> Schema:
    """A video that is there already."""
    return {"type": "object", "properties": {"id": VIDEO_ID}, "required": ["id"], "additionalProperties": False}


def wish_of(given: Mapping[str, Any], info: ModelInfo, initial_frames: InitialFrames | None) -> GenerationParams:
    frames = given.get("frames", given.get("num_frames"))
    if "seconds" in given:
        frames = max(1, round(float(given["seconds"]) * info.fps))
    return GenerationParams(
        given.get("prompt", ""),
        negative_prompt=given.get("negative_prompt"),
        seed=given.get("seed"),
        frames=frames,
        sampling={name: given[name] for name in SETTINGS if name in given},
        initial_frames=initial_frames,
        infer_prompt=initial_frames is not None and "prompt" not in given,
        transition=given.get("transition", "recache"),
    )


def size_of(info: ModelInfo) -> str:
    return f"{info.width}x{info.height}"


def whole(lowest: int, highest: int, about: str) -> Schema:
    return {"type": "integer", "minimum": lowest, "maximum": highest, "description": about}


def number(lowest: float, highest: float, about: str) -> Schema:
    return {"type": "number", "minimum": lowest, "maximum": highest, "description": about}


def text_of(longest: int, about: str) -> Schema:
    return {"type": "string", "maxLength": longest, "description": about}


def seconds_pattern(longest: int) -> str:
    """Of seconds as text: whole ones up to the longest, and below it with up to three decimals."""
    below = up_to(longest - 1)
    fraction = rf"(({below})\.[0-9]{{1,3}})|" if below else ""
    return f"^({fraction}{up_to(longest) or '1'})$"


def up_to(highest: int) -> str:
    """A pattern of the whole numbers from 1 to the highest, in the decimal system; of none, the empty one."""
    digits = str(max(highest, 0))
    shorter = [f"[1-9][0-9]{{{length - 1}}}" for length in range(1, len(digits))]
    same = []
    for place, digit in enumerate(digits):
        lowest = 1 if place == 0 else 0
        if int(digit) > lowest:
            same.append(f"{digits[:place]}[{lowest}-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}")
    return "|".join([*shorter, *same, digits]) if highest > 0 else ""
