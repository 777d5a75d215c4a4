"""Converts the arguments of a pipeline call, and its frames to the requested output type."""

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sampling.config import RANDOM_SEEDS, SamplerConfig
from videogen.control_plan import ControlPlan, control_plan, control_plans
from videogen.errors import UsageError
from videogen.generation.conditioning_frames import ConditioningFrames

if TYPE_CHECKING:
    from torch import Tensor

    from prior.config import ControlConfig
    from videogen.generate import LatentOutput
    from videogen.models import PriorModel

OutputType = Literal["np", "pt", "pil", "uint8", "codes", "latent"]  # "latent" is another name of "codes"
Prompts = str | Sequence[str]
Seeds = Any  # an integer, a torch.Generator, or one of these for each video; None uses torch's default generator
CallbackInput = Literal["frames", "codes", "latents"]  # "latents" is another name of "codes"
OTHER_NAMES = {  # names of the same argument in other libraries
    "seed": "generator",
    "frames": "num_frames",
    "length": "num_frames",
    "video_length": "num_frames",
    "num_steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "input_image": "image",
    "init_image": "image",
    "input_video": "video",
    "callback": "callback_on_step_end",
    "callback_steps": "callback_on_step_end",
    "num_images_per_prompt": "num_videos_per_prompt",
    "device_map": "device",
    "pretrained_model_name_or_path": "folder",
}
RENAMED = {**SamplerConfig.RENAMED, "rate": "history_noise"}


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """UsageError for the first unknown argument, with its new name or the most similar one."""
    known = sorted(known)
    for name in sorted(set(given) - set(known)):
        if (new := RENAMED.get(name)) in known:
            raise UsageError(f"{what} has no argument {name}; it is now {new}")
        other = OTHER_NAMES.get(name)
        near = [other] if other in known else difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"{what} has no argument {name}; {hint}")


def callback_tensors(names: Sequence[str], output: "LatentOutput") -> dict[str, Any]:
    """The tensors of a latent frame that a callback requests, by name."""
    known = get_args(CallbackInput)
    for name in names:
        if name not in known:
            raise UsageError(f"callback_on_step_end_tensor_inputs has {name!r}; there are {', '.join(known)}")
    return {name: output.frames if name == "frames" else output.codes_BNK for name in names}


def stops_generation(answer: Any, tensors: dict[str, Any]) -> bool:
    """Whether a callback returned True; UsageError if it returned other tensors than it got."""
    if isinstance(answer, dict) and any(value is not tensors.get(name) for name, value in answer.items()):
        raise UsageError("callback_on_step_end returned other tensors; a sampled latent frame cannot be changed")
    return answer is True


def as_output(
    conditioning: ConditioningFrames, outputs: "list[LatentOutput]", num_frames: int, kind: OutputType
) -> Any:
    """All frames or codes in the requested output type, including those of the image that a video starts with."""
    import torch

    if kind in ("codes", "latent"):
        given = conditioning.context.codes_BTNK
        first = given if conditioning.frames.shape[1] else given[:, :0]
        return torch.cat([first, *(output.codes_BNK.unsqueeze(1) for output in outputs)], 1)
    frames = torch.cat([conditioning.frames, *(output.frames for output in outputs)], 1)
    return as_frame_type(frames[:, :num_frames].cpu(), kind)


def as_frame_type(frames_BTHWC: "Tensor", kind: OutputType) -> Any:
    frames: NDArray[np.uint8] = frames_BTHWC.numpy()
    if kind == "uint8":
        return frames
    if kind == "pil":
        from PIL import Image

        return [[Image.fromarray(frame) for frame in video] for video in frames]
    if kind == "pt":
        return frames_BTHWC.permute(0, 1, 4, 2, 3).float() / 255
    return frames.astype(np.float32) / 255


def as_prompts(name: str, prompts: Any) -> tuple[str, ...]:
    """A string or several strings, as a tuple."""
    given = (prompts,) if isinstance(prompts, str) else tuple(prompts) if isinstance(prompts, Iterable) else (prompts,)
    if not all(isinstance(each, str) for each in given):
        raise UsageError(f"{name} is {str(prompts)[:80]}; give a string, or a list of strings")
    return given


def as_int(name: str, number: Any) -> int:
    try:
        return operator.index(number)
    except TypeError:
        raise UsageError(f"{name} is {number}; it must be a whole number") from None


def as_list(prompts: Prompts, count: int) -> tuple[str, ...]:
    """A negative prompt for each of `count` prompts."""
    given = (prompts,) * count if isinstance(prompts, str) else as_prompts("negative_prompt", prompts)
    if len(given) != count:
        raise UsageError(f"{len(given)} negative prompts for {count} prompts; give one, or one for each prompt")
    return given


def as_control_plan(model: "PriorModel", control: Any) -> ControlPlan:
    """The controls of the next latent frames of one video; UsageError if the model does not take them."""
    try:
        return control_plan(control, control_config(model))
    except ValueError as error:
        raise UsageError(str(error)) from None


def as_control_plans(model: "PriorModel", control: Any, prompts: int) -> tuple[ControlPlan, ...]:
    """The controls for each prompt; empty without any."""
    try:
        return () if control is None else control_plans(control, control_config(model), prompts)
    except ValueError as error:
        raise UsageError(str(error)) from None


def control_config(model: "PriorModel") -> "ControlConfig":
    config: ControlConfig | None = model.config.control
    if config is None:
        raise UsageError(f"{model.path}: its prior takes no control")
    return config


def as_seeds(generator: Seeds, count: int) -> tuple[int, ...]:
    """A seed for each video: an integer counts up, a generator is drawn from."""
    import torch

    if generator is None or isinstance(generator, torch.Generator):
        device = None if generator is None else generator.device
        return tuple(torch.randint(RANDOM_SEEDS, (count,), generator=generator, device=device).tolist())
    if is_int(generator):
        return tuple(operator.index(generator) + number for number in range(count))
    if isinstance(generator, str) or not isinstance(generator, Iterable):
        raise UsageError(
            f"generator is {generator}; give an integer, a torch.Generator, or one of these for each video"
        )
    each = tuple(generator)
    if len(each) != count:
        raise UsageError(f"{len(each)} generators or seeds for {count} videos; give one, or one for each video")
    return tuple(as_seeds(one, 1)[0] for one in each)


def is_int(value: Any) -> bool:
    """Whether it is one integer; an array has `__index__` too, which fails if it holds several."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True
