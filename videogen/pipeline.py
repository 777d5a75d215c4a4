"""`VideoPipeline`: a model folder in, videos out, with the arguments that users of `diffusers` know.

pipe = VideoPipeline.from_pretrained("runs/play")
video = pipe("a small red ring drifts left over a dark blue background", num_frames=33).frames[0]
for frame in pipe.stream("a big yellow star spins over a dark green background"): ...
"""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast, get_args

from sampling.config import SETTINGS
from videogen.errors import UsageError
from videogen.generate import GenerationRequest, LatentOutput, generate
from videogen.generation.arguments import (
    OutputType,
    Prompts,
    Seeds,
    as_int,
    as_output,
    as_seeds,
    callback_tensors,
    refuse_unknown,
    stops_generation,
)
from videogen.generation.conditioning_frames import ConditioningFrames
from videogen.generation.metadata import metadata_of
from videogen.generation.pipeline_inputs import PipelineInputs
from videogen.generation.progress import ProgressBar
from videogen.generation.stats import GenerationStats
from videogen.models import count_parameters
from videogen.system.devices import usable_device

if TYPE_CHECKING:
    import torch

    from sampling.config import SamplerConfig, SamplingOverrides
    from videogen.generate import Clock
    from videogen.generation.caption_ranking import RankBy, RankedCaption
    from videogen.generation.offload import Offload
    from videogen.models import PriorModel
    from videogen.stream import StreamState, Transition, VideoStream

OnStep = Callable[["VideoPipeline", int, int, dict[str, Any]], Any]


@dataclass(frozen=True, eq=False)
class VideoOutput:
    """`frames` in the requested output type.

    "np" is float32 [V, T, H, W, 3] in [0, 1], "pt" the same as a tensor [V, T, 3, H, W], "pil" a list of lists of
    images, "uint8" bytes [V, T, H, W, 3], "codes" or "latent" the codes [V, T', N, K]. V videos, T' latent frames.
    """

    frames: Any
    fps: float
    seeds: tuple[int, ...]  # one for each video; the same prompt and seed give the same codes, alone or in a batch
    stats: GenerationStats
    metadata: tuple[dict[str, Any], ...] = ()  # one for each video; see `export_to_video`

    @property
    def steps(self) -> float:
        """The mean number of steps of a latent frame."""
        return self.stats.steps


def as_dtype(given: "torch.dtype | str") -> "torch.dtype":
    import torch

    chosen = getattr(torch, given, None) if isinstance(given, str) else given
    if chosen not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise UsageError(f"dtype is {given}; expected float32, bfloat16, float16 or float64")
    return chosen


def merge_settings(steps: int | None, guidance_scale: float | None, sampling: Mapping[str, Any]) -> dict[str, Any]:
    if steps is not None and sampling.get("steps") is not None:
        raise UsageError("num_inference_steps and steps are the same setting; give one")
    return {"guidance_scale": guidance_scale, **sampling, "steps": sampling.get("steps") if steps is None else steps}


def argument_names(function: Callable[..., Any]) -> set[str]:
    named = inspect.signature(function).parameters.values()
    return {one.name for one in named if one.kind is not one.VAR_KEYWORD and one.name != "self"}


class VideoPipeline(PipelineInputs):
    """A tokenizer, a prior and a sampler."""

    def __init__(self, model: "PriorModel", sampler: "SamplerConfig", offload: "Offload | None" = None):
        super().__init__(model, sampler, offload)
        self.progress_bar = ProgressBar()
        self._interrupt = False

    def __repr__(self) -> str:
        """The model, its sizes, its device and its defaults."""
        model, sampler, (height, width) = self.model, self.sampler, self.size(None, None)
        dtype = str(self.dtype).removeprefix("torch.")
        parts = {
            "model": f"'{model.path}'",
            "prior": f"{count_parameters(model.network) / 1e6:.1f} M parameters in {dtype}",
            "tokenizer": f"{count_parameters(model.tokenizer.network) / 1e6:.1f} M parameters",
            "text": "none" if model.conditioner is None else f"{model.conditioner.length} tokens",
            "device": f"'{self.device}'",
            "video": f"{self.frame_count(None)} frames of {height} x {width} at {self.fps:g} a second",
            "sampling": f"order {sampler.order}, {sampler.steps} steps, guidance {sampler.guidance_scale:g}",
        }
        return "VideoPipeline(\n" + "".join(f"  {name}: {text}\n" for name, text in parts.items()) + ")"

    @staticmethod
    def from_pretrained(
        folder: str | Path | None = None,
        device: "str | torch.device | None" = None,
        dtype: "torch.dtype | str | None" = None,
        torch_dtype: "torch.dtype | str | None" = None,
        revision: str | None = None,
        offload: bool = False,
        **unknown: Any,
    ) -> "VideoPipeline":
        """Loads a model from its folder or the folder of its training run, with the settings of its
        `generation_config.json`. `torch_dtype` is another name of `dtype`.

        A name such as "owner/model" that is not a folder is looked up on the Hugging Face hub, at a `revision` if one
        is given. The default is the bundled model. Weights go to the device as `dtype` without a copy in float32.

        With `offload` they stay in the memory of the CPU, and prior and tokenizer are on the device in turns: for
        calls, which give the same videos, and not for streams.
        """
        import torch

        from videogen.models import BUNDLED, load_prior, resolve_model, sampler_of

        refuse_unknown(unknown, argument_names(VideoPipeline.from_pretrained), "from_pretrained")
        if dtype is not None and torch_dtype is not None:
            raise UsageError("dtype and torch_dtype are the same setting; give one")
        dtype = torch_dtype if dtype is None else dtype
        chosen = None if dtype is None else as_dtype(dtype)
        target = "cpu" if device is None else str(usable_device(device))
        place = resolve_model(BUNDLED if folder is None else folder, revision)
        with torch.inference_mode(False):  # as in `to`
            model = load_prior(place, "cpu" if offload else target, chosen)
            if offload:
                from videogen.generation.offload import take_turns

                model, parts = take_turns(model, torch.device(target))
                return VideoPipeline(model, sampler_of(model), parts)
        return VideoPipeline(model, sampler_of(model)).to(device)

    def save_pretrained(self, folder: str | Path, dtype: "torch.dtype | str" = "float32") -> None:
        """Writes a folder that `from_pretrained` reads; replaces a model that is there. float16 halves the size of the
        prior's weights on disk; they become float32 when they are read
        without a dtype."""
        from videogen.models import save_model

        save_model(self.model, self.sampler, Path(folder), as_dtype(dtype))

    def to(
        self, device: "str | torch.device | torch.dtype | None" = None, dtype: "torch.dtype | str | None" = None
    ) -> "VideoPipeline":
        """Moves the networks. `dtype` (may be the only argument) is for the prior: the tokenizer stays in float32."""
        import torch

        from prior.linear import pack

        self.check_together("a move to another device or type")
        if isinstance(device, torch.dtype):
            device, dtype = None, device if dtype is None else dtype
        target = None if device is None else usable_device(device)
        with torch.inference_mode(False):  # weights moved in inference mode could not be used outside it
            self.model.network.to(device=target, dtype=None if dtype is None else as_dtype(dtype))
            self.model.tokenizer.network.to(device=target)
            for conditioner in (self.model.conditioner, self.model.tokenizer.conditioner):
                if target is not None and conditioner is not None:
                    conditioner.to(str(target))
            pack(self.model.network)
        return self

    @property
    def device(self) -> "torch.device":
        return self.model.device

    @property
    def dtype(self) -> "torch.dtype":
        """The dtype of the prior; the tokenizer computes in float32."""
        dtype: torch.dtype = self.model.network.norm.weight.dtype
        return dtype

    @property
    def components(self) -> dict[str, Any]:
        """The parts by name; `text_encoder` is None for a model without text."""
        model = self.model
        parts = {"tokenizer": model.tokenizer.network, "prior": model.network, "text_encoder": model.conditioner}
        return {**parts, "sampler": self.sampler, "prompt_vocabulary": model.prompt_vocabulary}

    @property
    def config(self) -> dict[str, Any]:
        """All settings as plain data: of the parts, of the training clips, and of the sampler."""
        model = self.model
        return {
            "_class_name": type(self).__name__,
            "_name_or_path": str(model.path),
            "tokenizer": asdict(model.tokenizer.config),
            "prior": asdict(model.config),
            "clips": asdict(model.clips),
            "text": None if model.conditioner is None else model.conditioner.files()["text/config.json"],
            "sampler": asdict(self.sampler),
        }

    @property
    def interrupt(self) -> bool:
        """Whether a callback has set `pipe._interrupt`, which ends the call after this latent frame."""
        return self._interrupt

    def set_progress_bar_config(self, **config: Any) -> None:
        """Sets the arguments of tqdm, such as `disable=True`; without any, restores the defaults."""
        self.progress_bar.configure(config)

    def __call__(
        self,
        prompt: Prompts | None = None,
        negative_prompt: Prompts | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_videos_per_prompt: int = 1,
        generator: Seeds = None,
        video: Any = None,
        image: Any = None,
        output_type: OutputType = "np",
        return_dict: bool = True,
        callback_on_step_end: OnStep | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("frames", "codes", "latents"),
        history_noise: float = 0.0,
        control: Any = None,
        **sampling: "Unpack[SamplingOverrides]",
    ) -> VideoOutput:
        """Videos of `num_frames` frames, which may continue a clip (`video`) or start with an `image`.

        `num_inference_steps` is the number of steps per latent frame. `history_noise` is the share of wrong tokens that
        the prior expects in its past. `sampling` holds settings of `SamplerConfig`, such as temperature and order; None
        keeps the value of the model's `generation_config.json`. `image` is a PIL image, an array or a file; `video` is
        a list of such images, an array, a file or a folder. If the prompt is None, a caption of the clip or image is
        searched, and `metadata` has it; "" means no text. `control` is for a model that takes some: one, a list for
        the new latent frames, of which the last one holds, or such a list for each prompt.

        A callback gets (pipe, number of the latent frame, number of its first frame, tensors by name) after each latent
        frame; the videos end if it returns True or sets `pipe._interrupt = True`. With `return_dict=False` the result
        is a tuple with the frames.
        """
        refuse_unknown(sampling, {*argument_names(VideoPipeline.__call__), *SETTINGS}, "the call")
        if output_type not in get_args(OutputType):
            raise UsageError(f"output_type is {output_type!r}; expected one of {', '.join(get_args(OutputType))}")
        given = merge_settings(num_inference_steps, guidance_scale, sampling)
        total = self.frame_count(num_frames)
        conditioning = self.conditioning(video, image, height, width)
        prompt = self.prompt_for(conditioning, prompt, image if video is None else video)
        request = self.request(prompt, negative_prompt, num_videos_per_prompt, generator, given, history_noise, control)
        self.warn(self.warnings_about(request, given, height, width))
        conditioning = conditioning.repeat(len(request.seeds))
        stats, outputs, count, self._interrupt = GenerationStats(), [], conditioning.frames.shape[1], False
        with self.progress_bar.start(total) as bar:
            bar.update(min(count, total))
            for number, output in enumerate(self.generate(total, request, conditioning, stats)):
                outputs.append(output)
                if callback_on_step_end is not None:
                    inputs = callback_tensors(callback_on_step_end_tensor_inputs, output)
                    if stops_generation(callback_on_step_end(self, number, count, inputs), inputs) or self.interrupt:
                        break
                count += output.frames.shape[1]
                bar.update(min(count, total) - bar.n)
        frames = as_output(conditioning, outputs, total, output_type)
        result = VideoOutput(frames, self.fps, request.seeds, stats, metadata_of(self.model, request))
        return result if return_dict else cast(VideoOutput, (frames,))  # the annotation ignores return_dict=False

    def generate(
        self,
        num_frames: int,
        request: GenerationRequest,
        conditioning: ConditioningFrames,
        stats: GenerationStats,
        clock: "Clock" = time.perf_counter,
    ) -> Iterator[LatentOutput]:
        """Yields latent frames until there are at least `num_frames` frames, and adds them to `stats`."""
        from videogen.generation.offload import generate_in_turns

        began, missing = clock(), max(0, num_frames - conditioning.frames.shape[1])
        what = self.model, request, conditioning.context, missing, clock
        for output in generate(*what) if self.offload is None else generate_in_turns(self.offload, *what):
            stats.add(output)
            if stats.first_frame is None:
                stats.first_frame = clock() - began
            yield output

    def stream(
        self,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: Seeds = None,
        video: Any = None,
        image: Any = None,
        transition: "Transition" = "recache",
        history_noise: float = 0.0,
        control: Any = None,
        **sampling: "Unpack[SamplingOverrides]",
    ) -> "VideoStream":
        """An iterator of frames uint8 [H, W, 3], endless by default, equal to those of a call. Set `.prompt` and
        `.control` at any time.

        With `transition` "recache" the scene continues under a new prompt; "cut" starts a new scene. If the prompt is
        None, a caption of the clip or image is searched, as in a call.
        """
        from videogen.stream import Transition, VideoStream

        self.check_together("a stream")
        if transition not in get_args(Transition):
            raise UsageError(f"transition is {transition!r}; expected one of {', '.join(get_args(Transition))}")
        refuse_unknown(sampling, {*argument_names(VideoPipeline.stream), *SETTINGS}, "stream")
        given = merge_settings(num_inference_steps, guidance_scale, sampling)
        conditioning = self.conditioning(video, image, height, width)
        prompt = self.prompt_for(conditioning, prompt, image if video is None else video)
        request = self.request((prompt,), negative_prompt, 1, generator, given, history_noise, control)
        self.warn(self.warnings_about(request, given, height, width))
        frames = None if num_frames is None else self.frame_count(num_frames)
        stream = VideoStream.begin(self.model, request, conditioning, frames, transition)
        stream.on_prompt = self.warn_about_prompt
        return stream

    def restore(self, state: "StreamState", num_frames: int | None = None) -> "VideoStream":
        """A stream that continues from `state`, with the same frames as the original."""
        from videogen.stream import VideoStream

        self.check_together("a stream")
        stream = VideoStream.restore(self.model, state, None if num_frames is None else self.frame_count(num_frames))
        stream.on_prompt = self.warn_about_prompt
        return stream

    def caption(
        self,
        video: Any = None,
        image: Any = None,
        count: int = 1,
        beams: int | None = None,
        temperature: float = 0.0,
        generator: Seeds = None,
    ) -> list[str]:
        """Captions of a clip of any length, by a model that writes them: the `count` most likely ones of a beam search.

        With a temperature they are random, one for each seed of `generator`.
        """
        from videogen.generation.captioning import CaptionSettings, check_captions, past_of_clip, write_captions

        self.check_together("a caption")
        check_captions(self.model)
        try:
            settings = CaptionSettings(as_int("count", count), beams, temperature)
        except ValueError as error:
            raise UsageError(str(error)) from None
        past = past_of_clip(self.model, self.frames_to_caption(video, image), self.size(None, None))
        seeds = as_seeds(generator, settings.count) if temperature else ()
        return [written.caption for written in write_captions(self.model, past, settings, seeds)]

    def rank(
        self, captions: Sequence[str], video: Any = None, image: Any = None, by: "RankBy | None" = None
    ) -> "list[RankedCaption]":
        """The captions of a clip, the most likely first, with their nats.

        Nats are -log p(caption | clip) by "caption", the default of a model that writes captions, and
        -log p(clip | caption) by "video", for every model with text; for a masked prior that is a bound.
        """
        from videogen.generation.caption_ranking import choose_ranking, rank_captions

        self.check_together("a ranking")
        by = choose_ranking(self.model, by)
        return rank_captions(self.model, self.frames_to_caption(video, image), self.size(None, None), captions, by)
