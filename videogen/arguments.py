"""What people hand to a pipeline and get from it, one kind of argument at a time."""

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sampling.config import DRAWN_SEEDS, SamplerConfig
from videogen.conditioning_frames import ConditioningFrames
from videogen.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from videogen.generate import LatentOutput

OutputType = Literal["np", "pt", "pil", "uint8", "codes", "latent"]  # "latent" is another name of "codes"
Prompts = str | Sequence[str]
Seeds = Any  # a number, a torch.Generator, or one of these for each video; None draws from torch's own generator
CallbackInput = Literal["frames", "codes", "latents"]  # "latents" is another name of "codes"
OTHER_NAMES = {  # of arguments, in other libraries
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
    """UsageError for the first argument that does not exist, with the one that was probably meant."""
    known = sorted(known)
    for name in sorted(set(given) - set(known)):
        if (new := RENAMED.get(name)) in known:
            raise UsageError(f"{what} has no argument {name}; it is now {new}")
        other = OTHER_NAMES.get(name)
        near = [other] if other in known else difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"{what} has no argument {name}; {hint}")


def callback_inputs(wanted: Sequence[str], output: "LatentOutput") -> dict[str, Any]:
    """What a callback is told of a latent frame, by the names that it asks for."""
    known = get_args(CallbackInput)
    for name in wanted:
        if name not in known:
            raise UsageError(f"callback_on_step_end_tensor_inputs has {name!r}; there are {', '.join(known)}")
    return {name: output.frames if name == "frames" else output.codes_BNK for name in wanted}


def ends_video(answer: Any, told: dict[str, Any]) -> bool:
    """Whether a callback's answer ends the video: True does; the dictionary that it was told, or None, goes on."""
    if isinstance(answer, dict) and any(value is not told.get(name) for name, value in answer.items()):
        raise UsageError(
            "callback_on_step_end gave other tensors back; a latent frame that is decided cannot be changed"
        )
    return answer is True


def as_output(
    conditioning: ConditioningFrames, outputs: "list[LatentOutput]", num_frames: int, kind: OutputType
) -> Any:
    """All that was generated, as it was asked for; an image that a video begins with is part of it."""
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


def worded(name: str, words: Any) -> tuple[str, ...]:
    """One text or several, as several."""
    given = (words,) if isinstance(words, str) else tuple(words) if isinstance(words, Iterable) else (words,)
    if not all(isinstance(each, str) for each in given):
        raise UsageError(f"{name} is {str(words)[:80]}; give a text, or a list of texts")
    return given


def whole(name: str, number: Any) -> int:
    try:
        return operator.index(number)
    except TypeError:
        raise UsageError(f"{name} is {number}; it must be a whole number") from None


def listed(words: Prompts, count: int) -> tuple[str, ...]:
    given = (words,) * count if isinstance(words, str) else worded("negative_prompt", words)
    if len(given) != count:
        raise UsageError(f"{len(given)} negative prompts for {count} prompts; give one, or one each")
    return given


def seeds_from(generator: Seeds, count: int) -> tuple[int, ...]:
    """A seed for each video: numbers are taken as they are, one number counts up, generators are drawn from."""
    import torch

    if generator is None or isinstance(generator, torch.Generator):
        device = None if generator is None else generator.device
        return tuple(torch.randint(DRAWN_SEEDS, (count,), generator=generator, device=device).tolist())
    if is_number(generator):
        return tuple(operator.index(generator) + number for number in range(count))
    if isinstance(generator, str) or not isinstance(generator, Iterable):
        raise UsageError(f"generator is {generator}; give a whole number, a torch.Generator, or one of these a video")
    each = tuple(generator)
    if len(each) != count:
        raise UsageError(f"{len(each)} generators or seeds for {count} videos; give one, or one each")
    return tuple(seeds_from(one, 1)[0] for one in each)


def is_number(value: Any) -> bool:
    """A whole one; arrays have an `__index__` too, and refuse it if they hold several."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True
