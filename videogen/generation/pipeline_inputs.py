"""Checks the inputs of a pipeline call, converts them to a request, and emits warnings about them."""

import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sampling.config import SETTINGS
from videogen.errors import UsageError
from videogen.generate import GenerationRequest
from videogen.generation.arguments import Prompts, Seeds, as_control_plans, as_int, as_list, as_prompts, as_seeds
from videogen.generation.conditioning_frames import (
    ConditioningFrames,
    condition_on_clip,
    condition_on_image,
    frames_of_use,
    unconditioned,
)
from videogen.generation.continuation_prompt import continuation_prompt
from videogen.generation.generation_warnings import (
    GenerationWarning,
    frame_size_warning,
    input_changes,
    input_warnings,
    prompt_warnings,
    request_warnings,
)
from videogen.io import fit, probe
from videogen.io.images import Frames, as_frames, as_image, clip_frames, load_image, still_frames, stills_in
from videogen.models import check_sampler

if TYPE_CHECKING:
    from sampling.config import SamplerConfig
    from videogen.generation.offload import Offload
    from videogen.models import PriorModel


class PipelineWarning(UserWarning):
    """The Python warning of a pipeline; `.detail` is the `GenerationWarning`."""

    def __init__(self, detail: GenerationWarning):
        super().__init__(detail.text)
        self.detail = detail


def user_stacklevel() -> int:
    """The `stacklevel` of the first caller outside this package: warnings point to the user's code."""
    frame, level, package = sys._getframe(1), 1, f"{Path(__file__).parents[1]}/"
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    return level


class PipelineInputs:
    """A model and its sampler, and the checks of their inputs."""

    def __init__(self, model: "PriorModel", sampler: "SamplerConfig", offload: "Offload | None" = None):
        self.model, self.sampler, self.offload = model, sampler, offload

    def check_together(self, what: str) -> None:
        """UsageError if prior and tokenizer are not on their device at the same time."""
        if self.offload is not None:
            raise UsageError(f"{what} needs prior and tokenizer at the same time; load the model without offload")

    @property
    def fps(self) -> float:
        return self.model.clips.fps

    def request(
        self,
        prompt: Prompts,
        negative: Prompts | None,
        count: int,
        generator: Seeds,
        sampling: dict[str, Any],
        history_noise: float = 0.0,
        control: Any = None,
    ) -> GenerationRequest:
        """The request for `count` videos of each prompt; UsageError for what the model cannot do."""
        prompts, count = as_prompts("prompt", prompt), as_int("num_videos_per_prompt", count)
        negatives = ("",) * len(prompts) if negative is None else as_list(negative, len(prompts))
        if not prompts or count < 1:
            raise UsageError("nothing to generate: give at least one prompt, and num_videos_per_prompt of at least 1")
        plans = tuple(plan for plan in as_control_plans(self.model, control, len(prompts)) for _ in range(count))
        prompts, negatives = (tuple(text for text in texts for _ in range(count)) for texts in (prompts, negatives))
        sampler, seeds = self.sampler_with(sampling), as_seeds(generator, len(prompts))
        if self.model.conditioner is None and not sampler.drops_control:
            sampler = replace(sampler, guidance_scale=1.0)  # it would have no effect, and cost a second pass
        try:
            return GenerationRequest(prompts, negatives, seeds, sampler, history_noise, plans)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def sampler_with(self, changes: dict[str, Any]) -> "SamplerConfig":
        """The model's own settings with these changes; None leaves a setting as it is."""
        unknown = sorted(set(changes) - set(SETTINGS))
        if unknown:
            raise UsageError(f"'{unknown[0]}' is not a sampling setting; there are {', '.join(sorted(SETTINGS))}")
        try:
            sampler = replace(self.sampler, **{name: value for name, value in changes.items() if value is not None})
        except (ValueError, TypeError) as error:
            raise UsageError(str(error)) from None
        check_sampler(sampler, self.model.config)
        if sampler.guided and sampler.drops_control and self.model.config.control is None:
            raise UsageError(f"guidance_drops = {sampler.guidance_drops}: the prior takes no control; use text")
        return sampler

    def frame_count(self, num_frames: int | None) -> int:
        if num_frames is None:
            return self.model.clips.frames
        if as_int("num_frames", num_frames) < 1:
            raise UsageError(f"num_frames is {num_frames}; it must be at least 1")
        return as_int("num_frames", num_frames)

    def size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """The height and width of frames; the defaults are those of the training clips."""
        clips = self.model.clips
        size = (
            clips.height if height is None else as_int("height", height),
            clips.width if width is None else as_int("width", width),
        )
        try:
            self.model.network.check_begin(self.model.tokenizer.network.spec(*size))
        except ValueError as error:
            raise UsageError(str(error)) from None
        return size

    def conditioning(self, video: Any, image: Any, height: int | None, width: int | None) -> ConditioningFrames:
        """The frames that the video continues: the end of a clip, or an image, given as data or as a file."""
        if video is not None and image is not None:
            raise UsageError("video and image cannot be used together; give one")
        size = self.size(height, width)
        if video is not None:
            return condition_on_clip(self.model, self.clip(video, size))
        if image is not None:
            given = load_image(Path(image)) if isinstance(image, str | Path) else image
            return condition_on_image(self.model, self.fit_frames(as_image(given), size)[0])
        return unconditioned(self.model, 1, size)

    def prompt_for(self, conditioning: ConditioningFrames, prompt: Any, source: Any) -> Any:
        """The prompt of the user; if it is None, the caption that was found for the clip or image."""
        self.warn(input_warnings(self.model, conditioning))
        if prompt is not None:
            return prompt
        if not conditioning.context.codes_BTNK.shape[1]:
            raise UsageError("nothing to generate: give a prompt, or a video or an image to continue")
        self.check_together("the search for a caption")
        found = continuation_prompt(self.model, conditioning, source)
        self.warn(found.warnings)
        return found.prompt

    def clip(self, video: Any, size: tuple[int, int]) -> Frames:
        """The end of a clip, as much as the model attends to."""
        return np.stack(list(self.frames(video, size, frames_of_use(self.model))))

    def frames(self, video: Any, size: tuple[int, int], last: int | None = None) -> Iterator[Frames]:
        """The frames [H, W, 3] of a clip at the model's frame size, or only the last so many of them.

        A video file is resampled to the model's frame rate; images have it already.
        """
        if not isinstance(video, str | Path):
            return iter(self.fit_frames(as_frames(video)[-last if last else None :], size))
        path = Path(video)
        if path.is_dir():
            stills = stills_in(path)
            self.warn_if_resampled(load_image(stills[0]).shape[:2], size)
            return still_frames(stills, *size, last)
        seen = probe(path)
        self.warn_if_resampled((seen.height, seen.width), size, seen.fps, seen.transparent_frames)
        return clip_frames(path, seen, self.fps, *size, last)

    def frames_to_caption(self, video: Any, image: Any) -> Iterator[Frames]:
        """All frames of a clip, or the one of an image, at the size of the training clips."""
        if (video is None) == (image is None):
            raise UsageError("a caption is of a video or of an image; give one of them")
        size = self.size(None, None)
        if image is None:
            return self.frames(video, size)
        given = load_image(Path(image)) if isinstance(image, str | Path) else image
        return iter(self.fit_frames(as_image(given), size))

    def fit_frames(self, frames: Frames, size: tuple[int, int]) -> Frames:
        self.warn_if_resampled(frames.shape[1:3], size)
        return fit(frames, *size)

    def warn_if_resampled(
        self, size: tuple[int, ...], becomes: tuple[int, int], fps: float | None = None, transparent: int = 0
    ) -> None:
        """Warns if the input is resampled, scaled or cropped for the model."""
        if changes := input_changes((size[0], size[1]), becomes, fps, self.fps, transparent):
            self.warn([GenerationWarning("input_changed", f"as the model sees it, {', '.join(changes)}")])

    def warnings_about(
        self, request: GenerationRequest, given: dict[str, Any], height: int | None, width: int | None
    ) -> list[GenerationWarning]:
        """The warnings about a request; `given` holds the sampling settings that the user set."""
        sizes = self.size(height, width), self.size(None, None)
        return [*request_warnings(self.model, request, given), *frame_size_warning(*sizes)]

    def warn_about_prompt(self, prompt: str) -> None:
        self.warn(prompt_warnings(self.model.prompt_vocabulary, [prompt]))

    def warn(self, found: Iterable[GenerationWarning]) -> None:
        for warning in found:
            warnings.warn(PipelineWarning(warning), stacklevel=user_stacklevel())
