"""`VideoPipeline`: a model folder in, videos out, with the arguments that users of `diffusers` know.

pipe = VideoPipeline.from_pretrained("runs/play")
video = pipe("a small red ring drifts left over a dark blue background", num_frames=33).frames[0]
for picture in pipe.stream("a big yellow star spins over a green background"): ...
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from videogen.errors import UsageError
from videogen.known import as_frames, ids_of_clip, ids_of_picture
from videogen.video import fit

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sampling.config import SamplerConfig
    from videogen.generate import Job, Made
    from videogen.models import PriorModel
    from videogen.stream import StreamState, Transition, VideoStream

OutputType = Literal["np", "pt", "pil", "uint8", "ids"]
Prompts = str | Sequence[str]
OnStep = Callable[["VideoPipeline", int, dict[str, Any]], Any]
LARGEST_SEED = 2**62


@dataclass(frozen=True, eq=False)
class VideoOutput:
    """`frames` as asked for: "np" float32 [N, T, H, W, 3] in [0, 1], "pt" the same as a tensor [N, T, 3, H, W],
    "pil" a list of lists of pictures, "uint8" bytes [N, T, H, W, 3], "ids" int64 [N, T', h, w]."""

    frames: Any
    fps: float
    seeds: tuple[int, ...]  # of each video: the same prompt and seed give the same bytes, alone or in a batch
    steps: float  # proposals a latent frame, in the mean


class VideoPipeline:
    """A tokenizer, a prior and a way of sampling."""

    def __init__(self, model: "PriorModel", sampler: "SamplerConfig"):
        self.model, self.sampler = model, sampler

    @staticmethod
    def from_pretrained(
        folder: str | Path, device: str | None = None, dtype: "torch.dtype | str | None" = None
    ) -> "VideoPipeline":
        """The model in a folder, a run's folder too, with the settings of its `generation_config.json`."""
        from videogen.models import load_prior, sampler_of

        model = load_prior(Path(folder))
        pipe = VideoPipeline(model, sampler_of(model))
        return pipe.to(device, dtype)

    def save_pretrained(self, folder: str | Path) -> None:
        """All of it, as `from_pretrained` reads it."""
        from videogen.models import save_model

        save_model(self.model, self.sampler, Path(folder))

    def to(self, device: str | None = None, dtype: "torch.dtype | str | None" = None) -> "VideoPipeline":
        """Move the networks; a dtype is that of the prior, the tokenizer stays in float32."""
        import torch

        chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        if dtype is not None and chosen not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
            raise UsageError(f"dtype is {dtype}; expected float32, bfloat16 or float16")
        self.model.network.to(device=device, dtype=chosen)
        self.model.tokenizer.network.to(device=device)
        return self

    @property
    def device(self) -> "torch.device":
        from videogen.generate import device_of

        return device_of(self.model)

    @property
    def fps(self) -> float:
        return self.model.taught_on.fps

    def __call__(
        self,
        prompt: Prompts,
        negative_prompt: Prompts | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_videos_per_prompt: int = 1,
        generator: "torch.Generator | Sequence[torch.Generator] | int | Sequence[int] | None" = None,
        video: Any = None,
        image: Any = None,
        output_type: OutputType = "np",
        callback_on_step_end: OnStep | None = None,
        **sampling: Any,
    ) -> VideoOutput:
        """Videos of `num_frames` pictures; after a clip (`video`), those that follow it, or beginning with an `image`.

        `num_inference_steps` are proposals a latent frame. `sampling` are settings of SamplerConfig: temperature,
        top_k, top_p, order, and so on. The callback is told (pipe, latent frame, {"pictures", "ids"}) as they come;
        what it returns as True ends the videos there.
        """
        from videogen.generate import begin, go_on

        if output_type not in get_args(OutputType):
            raise UsageError(f"output_type is {output_type!r}; expected one of {', '.join(get_args(OutputType))}")
        given = {"steps": num_inference_steps, "guidance_scale": guidance_scale, **sampling}
        job = self.job(prompt, negative_prompt, num_videos_per_prompt, generator, given)
        known = self.known(video, image, height, width, len(job.seeds))
        pictures_wanted = self.pictures(num_frames)
        first = first_pictures(self.model, known, image is not None)
        going = begin(self.model, job, known, self.grid(height, width))
        made: list[Made] = []
        count = first.shape[1]
        while count < pictures_wanted:
            going, one = go_on(self.model, job, going)
            made.append(one)
            count += one.pictures.shape[1]
            told = {"pictures": one.pictures, "ids": one.ids_Bhw}
            if callback_on_step_end is not None and callback_on_step_end(self, len(made) - 1, told) is True:
                break
        return self.output(first, made, known, job, pictures_wanted, output_type)

    def stream(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: "torch.Generator | int | None" = None,
        video: Any = None,
        image: Any = None,
        transition: "Transition" = "recache",
        **sampling: Any,
    ) -> "VideoStream":
        """Pictures uint8 [H, W, 3] one by one, endlessly by default. Set `.prompt` while it runs.

        After a `video` come the pictures that follow it; after an `image`, those that follow it.
        """
        from videogen.stream import VideoStream

        given = {"steps": num_inference_steps, "guidance_scale": guidance_scale, **sampling}
        job = self.job(prompt, negative_prompt, 1, generator, given)
        known = self.known(video, image, None, None, 1)
        stream = VideoStream.begin(self.model, job, known, frames=num_frames)
        stream.transition = transition
        return stream

    def restore(self, state: "StreamState", num_frames: int | None = None) -> "VideoStream":
        """Go on with a stream from where `state()` was taken, to the same future."""
        from videogen.stream import VideoStream

        return VideoStream.restore(self.model, state, num_frames)

    def job(
        self, prompt: Prompts, negative: Prompts | None, each: int, generator: Any, sampling: dict[str, Any]
    ) -> "Job":
        from videogen.generate import Job

        prompts = (prompt,) if isinstance(prompt, str) else tuple(prompt)
        negatives = ("",) * len(prompts) if negative is None else listed(negative, len(prompts))
        if not prompts or each < 1:
            raise UsageError("nothing to make: give at least one prompt, and num_videos_per_prompt of at least 1")
        prompts, negatives = (tuple(p for p in some for _ in range(each)) for some in (prompts, negatives))
        return Job(prompts, negatives, seeds_from(generator, len(prompts)), self.sampler_with(sampling))

    def sampler_with(self, changes: dict[str, Any]) -> "SamplerConfig":
        known = set(self.sampler.__dataclass_fields__)
        unknown = sorted(set(changes) - known)
        if unknown:
            raise UsageError(f"'{unknown[0]}' is no setting of sampling; there are {', '.join(sorted(known))}")
        try:
            return replace(self.sampler, **{name: value for name, value in changes.items() if value is not None})
        except ValueError as error:
            raise UsageError(str(error)) from None

    def pictures(self, num_frames: int | None) -> int:
        if num_frames is None:
            taught = self.model.taught_on
            return 1 + self.model.tokenizer.config.f_t * (taught.frames - 1)
        if num_frames < 1:
            raise UsageError(f"num_frames is {num_frames}; it must be at least 1")
        return num_frames

    def grid(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Of a latent frame, for pictures of this size; by default the one that the prior was taught on."""
        taught, f_s = self.model.taught_on, self.model.tokenizer.config.f_s
        rows, columns = height or taught.height * f_s, width or taught.width * f_s
        if rows % f_s or columns % f_s or min(rows, columns) < f_s:
            raise UsageError(f"height x width is {rows} x {columns}; both must be multiples of {f_s}")
        return rows // f_s, columns // f_s

    def known(self, video: Any, image: Any, height: int | None, width: int | None, count: int) -> "Tensor | None":
        if video is not None and image is not None:
            raise UsageError("video and image are two beginnings; give one")
        if video is None and image is None:
            return None
        f_s = self.model.tokenizer.config.f_s
        rows, columns = (side * f_s for side in self.grid(height, width))
        if video is not None:
            ids = ids_of_clip(self.model, fit(as_frames(video), rows, columns))
        else:
            ids = ids_of_picture(self.model, fit(as_frames([image]), rows, columns)[0])
        return ids.expand(count, -1, -1, -1)

    def output(
        self, first: "Tensor", made: "list[Made]", known: "Tensor | None", job: "Job", wanted: int, kind: OutputType
    ) -> VideoOutput:
        import torch

        steps = sum(float(one.steps_B.float().mean()) for one in made) / max(1, len(made))
        if kind == "ids":
            beginning = [known] if known is not None and first.shape[1] else []
            ids = torch.cat([*beginning, *(one.ids_Bhw.unsqueeze(1) for one in made)], 1)
            return VideoOutput(ids, self.fps, job.seeds, steps)
        pictures = torch.cat([first, *(one.pictures for one in made)], 1)[:, :wanted].cpu()
        return VideoOutput(as_asked(pictures, kind), self.fps, job.seeds, steps)


def first_pictures(model: "PriorModel", known: "Tensor | None", is_image: bool) -> "Tensor":
    """What a video shows before anything is made: the image that it begins with, as its tokens give it back."""
    import torch

    from videogen.pixels import to_frames

    if known is not None and is_image:
        with torch.no_grad():
            return to_frames(model.tokenizer.network.decode(known)[0])
    count = 1 if known is None else len(known)
    return torch.zeros(count, 0, 1, 1, 3, dtype=torch.uint8)


def as_asked(pictures_NTHWC: "Tensor", kind: OutputType) -> Any:
    frames: NDArray[np.uint8] = pictures_NTHWC.numpy()
    if kind == "uint8":
        return frames
    if kind == "pil":
        from PIL import Image

        return [[Image.fromarray(picture) for picture in video] for video in frames]
    if kind == "pt":
        return pictures_NTHWC.permute(0, 1, 4, 2, 3).float() / 255
    return frames.astype(np.float32) / 255


def listed(words: Prompts, count: int) -> tuple[str, ...]:
    given = (words,) * count if isinstance(words, str) else tuple(words)
    if len(given) != count:
        raise UsageError(f"{len(given)} negative prompts for {count} prompts; give one, or one each")
    return given


def seeds_from(generator: Any, count: int) -> tuple[int, ...]:
    """A seed for each video: numbers are taken as they are, one number counts up, generators are drawn from."""
    import torch

    if generator is None:
        generator = torch.Generator().manual_seed(torch.seed() % LARGEST_SEED)
    if isinstance(generator, int):
        return tuple(generator + number for number in range(count))
    if isinstance(generator, torch.Generator):
        drawn = torch.randint(LARGEST_SEED, (count,), generator=generator, device=generator.device)
        return tuple(drawn.tolist())
    each = tuple(generator)
    if len(each) != count:
        raise UsageError(f"{len(each)} generators or seeds for {count} videos; give one, or one each")
    return tuple(one if isinstance(one, int) else seeds_from(one, 1)[0] for one in each)
