"""From the options of `generate`, `continue` and `stream` to a run whose frames can be written."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from videogen.cli.generation.inputs import GenerationInput
from videogen.cli.generation.outputs import FrameBatches, GenerationRun
from videogen.cli.options import model_or_bundled, sampling_given
from videogen.cli.param_types import PromptChange
from videogen.cli.terminal import Terminal
from videogen.errors import UsageError
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    from videogen.generate import GenerationRequest
    from videogen.generation.conditioning_frames import ConditioningFrames
    from videogen.generation.generation_warnings import GenerationWarning
    from videogen.generation.stats import GenerationStats
    from videogen.pipeline import VideoPipeline
    from videogen.stream import VideoStream


@dataclass(frozen=True, eq=False)
class GenerationSetup:
    """A loaded pipeline with the prompts and options of a command."""

    terminal: Terminal
    pipe: "VideoPipeline"
    prompts: tuple[str, ...]
    videos: int  # per prompt
    options: Mapping[str, Any]
    size: tuple[int, int]  # height and width of a frame
    found_prompt: str | None = None  # the caption that was found for the input
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def warn(self, found: "Sequence[GenerationWarning]") -> None:
        for warning in found:
            self.terminal.note(str(warning))
            self.warnings.append(warning.to_json())

    def request(self, prompts: Sequence[str]) -> "GenerationRequest":
        names = ("negative_prompt", "seed", "history_noise", "control")
        negative, seed, noise, control = (self.options[name] for name in names)
        return self.pipe.request(prompts, negative, self.videos, seed, sampling_given(self.options), noise, control)

    def metadata(self, request: "GenerationRequest", source: GenerationInput, **more: Any) -> Sequence[dict[str, Any]]:
        """The metadata of each video for its file; empty with --no-metadata."""
        from videogen.generation.metadata import metadata_of

        if self.options["no_metadata"]:
            return ()
        return metadata_of(self.pipe.model, request, **{**more, "begins_with": source.path.name})

    def num_frames(self) -> int | None:
        frames: int | None = self.options["frames"]
        seconds: float | None = self.options["seconds"]
        return frames if seconds is None else max(1, round(seconds * self.pipe.fps))

    def run(
        self,
        request: "GenerationRequest",
        batches: FrameBatches,
        stats: "GenerationStats",
        total: int | None,
        **more: Any,
    ) -> GenerationRun:
        return GenerationRun(self.pipe, request, batches, self.size, stats, total, warnings=self.warnings, **more)


def check_length(options: Mapping[str, Any]) -> None:
    if options["frames"] is not None and options["seconds"] is not None:
        raise UsageError("--frames and --seconds both say how long the video is; give one")


def load_setup(
    terminal: Terminal, prompts: tuple[str, ...], videos: int, options: Mapping[str, Any]
) -> GenerationSetup:
    """Load the model and print warnings about prompts and settings that it ignores."""
    from videogen.pipeline import VideoPipeline

    use_threads(options["threads"])
    device = use_device(options["device"])
    model, offload = model_or_bundled(options["model"]), options["offload"]
    pipe = VideoPipeline.from_pretrained(model, device, options["dtype"], offload=offload)
    setup = GenerationSetup(terminal, pipe, prompts, videos, options, pipe.size(options["height"], options["width"]))
    request, given = setup.request(prompts or ("",)), sampling_given(options)
    setup.warn(pipe.warnings_about(request, given, options["height"], options["width"]))
    return setup


def encode_input(setup: GenerationSetup, source: GenerationInput) -> "tuple[GenerationSetup, ConditioningFrames]":
    """The input as frames and tokens, and the setup with a caption found for it if there is no prompt."""
    from videogen.generation.continuation_prompt import continuation_prompt
    from videogen.generation.generation_warnings import input_warnings

    source.note_changes(setup.terminal, setup.pipe, setup.size)
    conditioning = source.conditioning(setup.pipe, setup.size)
    setup.warn(input_warnings(setup.pipe.model, conditioning))
    if setup.prompts:
        return setup, conditioning
    setup.pipe.check_together("the search for a caption")
    prompt, warnings = continuation_prompt(setup.pipe.model, conditioning, source.path)
    setup.warn(warnings)
    if prompt:
        setup.terminal.note(f"continuing as: {prompt}")
    return replace(setup, prompts=(prompt,), found_prompt=prompt or None), conditioning


def generate_videos(setup: GenerationSetup, source: GenerationInput) -> GenerationRun:
    """Videos of a given length, in one batch."""
    from videogen.generation.stats import GenerationStats

    stats, total = GenerationStats(), setup.pipe.frame_count(setup.num_frames())
    setup, conditioning = encode_input(setup, source)
    request = setup.request(setup.prompts)
    batches = frame_batches(setup.pipe, request, conditioning.repeat(len(request.seeds)), total, stats)
    label = setup.prompts[0] if len(setup.prompts) == 1 else f"{len(setup.prompts)} prompts"
    return setup.run(
        request,
        batches,
        stats,
        total,
        label=lambda: label,
        extra={"found_prompt": setup.found_prompt},
        metadata=setup.metadata(request, source),
    )


def continue_clip(setup: GenerationSetup, source: GenerationInput, only_new: bool) -> GenerationRun:
    """The frames of a clip, then the new ones."""
    from videogen.generation.stats import GenerationStats

    pipe, stats, new = setup.pipe, GenerationStats(), setup.pipe.frame_count(setup.num_frames())
    setup, conditioning = encode_input(setup, source)
    request = setup.request(setup.prompts)
    old = 0 if only_new else source.num_frames(pipe.fps)
    clip = () if only_new else (frame[None, None] for frame in source.frames(pipe, setup.size))
    return setup.run(
        request,
        chain(clip, frame_batches(pipe, request, conditioning, new, stats)),
        stats,
        old + new,
        label=lambda: setup.prompts[0],
        extra={"clip_frames": old, "found_prompt": setup.found_prompt},
        metadata=setup.metadata(request, source),
    )


def stream_video(
    setup: GenerationSetup, source: GenerationInput, changes: Sequence[PromptChange], transition: Any
) -> GenerationRun:
    """One video, endless without --frames or --seconds, with prompt changes."""
    from videogen.stream import VideoStream

    pipe, total = setup.pipe, setup.num_frames()
    setup, conditioning = encode_input(setup, source)
    request = setup.request(setup.prompts[:1])
    stream = VideoStream.begin(pipe.model, request, conditioning, total, transition)
    schedule = sorted((change.frame(pipe.fps), change.prompt) for change in changes)
    shown: list[dict[str, Any]] = []
    asked = [{"frame": frame, "prompt": prompt} for frame, prompt in schedule]
    return setup.run(
        request,
        stream_batches(stream, schedule, shown, setup.terminal.note),
        stream.stats,
        total,
        label=lambda: stream.prompt,
        extra={"prompt_changes": shown, "found_prompt": setup.found_prompt},
        metadata=setup.metadata(request, source, prompt_changes=asked, transition=transition if asked else None),
    )


def stream_batches(
    stream: "VideoStream", schedule: Sequence[tuple[int, str]], shown: list[dict[str, Any]], note: Callable[[str], None]
) -> FrameBatches:
    """The frames of a stream; `shown` gets the first frame of each prompt, and a prompt that came too late is noted."""
    waiting, count = deque(schedule), 0
    while True:
        while waiting and waiting[0][0] <= count:
            stream.prompt = waiting.popleft()[1]
        before = stream.request.prompts
        frame = next(stream, None)
        if frame is None:
            unseen = [stream.prompt] * (stream.prompt != stream.request.prompts[0]) + [prompt for _, prompt in waiting]
            for prompt in unseen:
                note(f"'{prompt}' comes too late to be seen in {count} frames")
            return
        if stream.request.prompts != before:
            shown.append({"frame": count, "prompt": stream.prompt})
        yield frame[None, None]
        count += 1


def frame_batches(
    pipe: "VideoPipeline",
    request: "GenerationRequest",
    conditioning: "ConditioningFrames",
    total: int,
    stats: "GenerationStats",
) -> FrameBatches:
    """The given frames of all videos, then those that are generated, until there are `total`."""
    from videogen.generate import exact_clock

    left = total - conditioning.frames.shape[1]
    if conditioning.frames.shape[1]:
        yield conditioning.frames.cpu().numpy()
    for output in pipe.generate(total, request, conditioning, stats, exact_clock(pipe.model)):
        yield output.frames[:, :left].cpu().numpy()
        left -= output.frames.shape[1]
