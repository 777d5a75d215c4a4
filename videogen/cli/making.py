"""From what was typed to pictures that come one after the other: the work of `generate`, `continue` and `stream`."""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.beginnings import Beginning
from videogen.cli.films import Pieces, Work
from videogen.cli.formats import output_format
from videogen.cli.models import generator_at, usable_device
from videogen.cli.options import sampling_given
from videogen.cli.terminal import Terminal
from videogen.errors import UsageError
from videogen.threads import use_threads

if TYPE_CHECKING:
    from videogen.conditioning_frames import ConditioningFrames
    from videogen.generate import GenerationRequest
    from videogen.generation_warnings import GenerationWarning
    from videogen.io import OutputFormat
    from videogen.pipeline import VideoPipeline
    from videogen.stats import GenerationStats
    from videogen.stream import VideoStream


@dataclass(frozen=True)
class Change:
    """Another prompt, from a picture or a second on."""

    at: float
    in_seconds: bool
    prompt: str

    def picture(self, fps: float) -> int:
        return round(self.at * fps) if self.in_seconds else int(self.at)


class PromptAt(click.ParamType):  # type: ignore[type-arg]
    """5s:a blue disc, or 40:a blue disc."""

    name = "WHEN:PROMPT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Change:
        if isinstance(value, Change):
            return value
        found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)s|(\d+)):(.*)", str(value), re.DOTALL)
        if found is None or re.match(r"\d+(\.\d+)?s?:", found[3]):
            self.fail(f"'{value}' is not of the form 5s:PROMPT (seconds) or 40:PROMPT (pictures)", param, ctx)
        seconds, picture, prompt = found.groups()
        return Change(float(seconds or picture), seconds is not None, prompt.strip())


CHANGE = PromptAt()


@dataclass(frozen=True, eq=False)
class Request:
    """What was typed, and the pipeline that is to do it."""

    terminal: Terminal
    pipe: "VideoPipeline"
    prompts: tuple[str, ...]
    videos: int  # of each prompt
    options: Mapping[str, Any]
    size: tuple[int, int]  # height and width of a picture
    found: str | None = None  # the prompt, where it was found in what is gone on from
    warnings: list[dict[str, Any]] = field(default_factory=list)  # so far

    def warn(self, found: "Sequence[GenerationWarning]") -> None:
        for warning in found:
            self.terminal.note(str(warning))
            self.warnings.append(warning.to_json())

    def job(self, prompts: Sequence[str]) -> "GenerationRequest":
        negative, seed, noise = (self.options[name] for name in ("negative_prompt", "seed", "history_noise"))
        return self.pipe.request(prompts, negative, self.videos, seed, sampling_given(self.options), noise)

    def metadata(self, job: "GenerationRequest", beginning: Beginning, **more: Any) -> Sequence[dict[str, Any]]:
        """Of each video, for its file; none if that was asked for."""
        from videogen.metadata import metadata_of

        if self.options["no_metadata"]:
            return ()
        return metadata_of(self.pipe.model, job, **{**more, "begins_with": beginning.path.name})

    def with_warnings(self, known: "ConditioningFrames") -> "ConditioningFrames":
        """What the video goes on from; said, if the model knows nothing like it."""
        from videogen.generation_warnings import input_warnings

        self.warn(input_warnings(self.pipe.model, known))
        return known

    def frames(self) -> int | None:
        frames: int | None = self.options["frames"]
        seconds: float | None = self.options["seconds"]
        return frames if seconds is None else max(1, round(seconds * self.pipe.fps))


def check(options: Mapping[str, Any]) -> "OutputFormat":
    """How the file is to show the video; UsageError for what is wrong whatever the model is, before it is loaded."""
    if options["frames"] is not None and options["seconds"] is not None:
        raise UsageError("--frames and --seconds both say how long the video is; give one")
    return output_format(options)


def opened(terminal: Terminal, prompts: tuple[str, ...], videos: int, options: Mapping[str, Any]) -> Request:
    """The model where it is to compute, and what it is asked for; remarks on what it will not take in."""
    from videogen.pipeline import VideoPipeline

    use_threads(options["threads"])
    device = usable_device(options["device"])
    pipe = VideoPipeline.from_pretrained(generator_at(options["model"]), device, options["dtype"])
    request = Request(terminal, pipe, prompts, videos, options, pipe.size(options["height"], options["width"]))
    request.warn(
        pipe.warnings_on(request.job(prompts or ("",)), sampling_given(options), options["height"], options["width"])
    )
    return request


def described(request: Request, known: "ConditioningFrames", path: Path) -> Request:
    """The same with what is seen as its prompt, where there was none; doubts about the clip or picture are noted."""
    from videogen.continuation_prompt import continuation_prompt

    request.with_warnings(known)
    if request.prompts:
        return request
    prompt, warnings = continuation_prompt(request.pipe.model, known, path)
    request.warn(warnings)
    if prompt:
        request.terminal.note(f"continuing as: {prompt}")
    return replace(request, prompts=(prompt,), found=prompt or None)


def made(request: Request, beginning: Beginning) -> Work:
    """Videos of a given length, all at once."""
    from videogen.stats import GenerationStats

    pipe, figures = request.pipe, GenerationStats()
    beginning.note_changes(request.terminal, pipe, request.size)
    known, total = beginning.known(pipe, request.size, 1), pipe.frame_count(request.frames())
    request = described(request, known, beginning.path)
    job = request.job(request.prompts)
    known = known.repeated(len(job.seeds))
    label = request.prompts[0] if len(request.prompts) == 1 else f"{len(request.prompts)} prompts"
    both, metadata = pieces(pipe, job, known, total, figures), request.metadata(job, beginning)
    more = {"found_prompt": request.found}
    return Work(pipe, job, both, request.size, figures, total, lambda: label, more, metadata, request.warnings)


def continued(request: Request, beginning: Beginning, only_new: bool) -> Work:
    """A clip, and after its last picture the first new one."""
    from videogen.stats import GenerationStats

    pipe, figures = request.pipe, GenerationStats()
    beginning.note_changes(request.terminal, pipe, request.size)
    new, known = pipe.frame_count(request.frames()), beginning.known(pipe, request.size, 1)
    request = described(request, known, beginning.path)
    job = request.job(request.prompts)
    old = 0 if only_new else beginning.pictures(pipe.fps)
    clip = () if only_new else (picture[None, None] for picture in beginning.clip(pipe, request.size))
    both = chain(clip, pieces(pipe, job, known, new, figures))
    more = {"pictures_of_the_clip": old, "found_prompt": request.found}
    metadata = request.metadata(job, beginning)
    return Work(
        pipe, job, both, request.size, figures, old + new, lambda: request.prompts[0], more, metadata, request.warnings
    )


def streamed(request: Request, beginning: Beginning, changes: Sequence[Change], transition: Any) -> Work:
    """One video, endlessly unless it was said how long, its prompt changing at its times."""
    from videogen.stream import VideoStream

    pipe = request.pipe
    beginning.note_changes(request.terminal, pipe, request.size)
    total, known = request.frames(), beginning.known(pipe, request.size, 1)
    request = described(request, known, beginning.path)
    job = request.job(request.prompts[:1])
    stream = VideoStream.begin(pipe.model, job, known, total, transition)
    later = sorted((change.picture(pipe.fps), change.prompt) for change in changes)
    shown: list[dict[str, Any]] = []
    pictures, more = (
        changing(stream, later, shown, request.terminal.note),
        {"prompt_changes": shown, "found_prompt": request.found},
    )
    asked = [{"picture": picture, "prompt": prompt} for picture, prompt in later]
    metadata = request.metadata(job, beginning, prompt_changes=asked, transition=transition if asked else None)
    return Work(
        pipe,
        job,
        pictures,
        request.size,
        stream.stats,
        total,
        lambda: stream.prompt,
        more,
        metadata,
        request.warnings,
    )


def changing(
    stream: "VideoStream", later: "Sequence[tuple[int, str]]", shown: list[dict[str, Any]], note: Callable[[str], None]
) -> Pieces:
    """The pictures, and in `shown` from which of them on each prompt was drawn; what never was is noted."""
    waiting, count = deque(later), 0
    while True:
        while waiting and waiting[0][0] <= count:
            stream.prompt = waiting.popleft()[1]
        before = stream.request.prompts
        picture = next(stream, None)
        if picture is None:
            unseen = [stream.prompt] * (stream.prompt != stream.request.prompts[0]) + [prompt for _, prompt in waiting]
            for prompt in unseen:
                note(f"'{prompt}' comes too late to be seen in {count} pictures")
            return
        if stream.request.prompts != before:
            shown.append({"picture": count, "prompt": stream.prompt})
        yield picture[None, None]
        count += 1


def pieces(
    pipe: "VideoPipeline", job: "GenerationRequest", known: "ConditioningFrames", total: int, figures: "GenerationStats"
) -> Pieces:
    """The pictures of all videos as they are made, cut off where there are enough."""
    from videogen.generate import exact_clock

    left = total - known.frames.shape[1]
    if known.frames.shape[1]:
        yield known.frames.cpu().numpy()
    for one in pipe.generate(total, job, known, figures, exact_clock(pipe.model)):
        yield one.frames[:, :left].cpu().numpy()
        left -= one.frames.shape[1]
