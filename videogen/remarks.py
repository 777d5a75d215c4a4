"""What a model will not take in of what it is asked for: it is said, and the rest is done all the same."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampling.config import SamplerConfig
    from videogen.generate import Job
    from videogen.models import PriorModel


KEPT_OUT = ("hoop", "tiny", "rotates")  # to see what becomes of words never heard: configs/playroom/held_out.yaml


def remarks_on(model: "PriorModel", job: "Job", asked: Mapping[str, Any]) -> list[str]:
    """For people, a line each; `asked` are the settings of sampling that somebody gave, where they are not None."""
    told, prompts, negatives = model.conditioner, said_in(job.prompts), said_in(job.negative_prompts)
    given = {name: value for name, value in asked.items() if value is not None}
    remarks = idle_settings(job.sampler, given, model.taught_on.height * model.taught_on.width)
    if told is None:
        guidance = given.get("guidance_scale", 1) != 1
        lost = [
            name
            for name, said in (("the prompt", prompts), ("the negative prompt", negatives), ("guidance", guidance))
            if said
        ]
        nothing = f"{' and '.join(lost)} {'changes' if len(lost) == 1 else 'change'} nothing"
        return [*remarks, f"{model.path}: its prior was taught without text; {nothing}"] if lost else remarks
    for name, texts in (("prompt", prompts), ("negative prompt", negatives)):
        if cut := told.too_long(texts):
            which = f"{cut} of {len(texts)} {name}s" if len(texts) > 1 else f"the {name}"
            verbs = "are longer than {} tokens and lose their" if cut > 1 else "is longer than {} tokens and loses its"
            remarks.append(f"{which} {verbs.format(told.length)} end")
    if negatives and not job.sampler.guided:
        remarks.append("the negative prompt changes nothing while guidance_scale is 1")
    if is_playroom(model) and (reason := outside_playroom(prompts)) is not None:
        remarks.append(f"{reason}; this is the model that comes along. For a world of your own: videogen train --help")
    if is_playroom(model) and (reason := kept_out_of_playroom(prompts)) is not None:
        remarks.append(reason)
    return remarks


def idle_settings(sampler: "SamplerConfig", given: Mapping[str, Any], tokens: int) -> list[str]:
    """Of the settings that somebody gave, those that change nothing beside the others; for frames of so many tokens."""
    idle = {
        "threshold": sampler.order != "threshold" and f"order is {sampler.order}",
        "noise": sampler.order != "confidence" and f"order is {sampler.order}",
        "guidance_schedule": not sampler.guided and "guidance_scale is 1",
    }
    remarks = [f"{name} changes nothing while {reason}" for name, reason in idle.items() if name in given and reason]
    if given.get("steps", 0) > tokens:
        remarks.append(f"a latent frame has {tokens} tokens, and takes no more proposals than that")
    return remarks


def changed_on_the_way(
    size: tuple[int, int], becomes: tuple[int, int], fps: float | None = None, rate: float | None = None
) -> list[str]:
    """What a model does not see as it is of pictures of this height and width; `fps` where their rate is known."""
    changes = []
    if fps and rate and abs(fps / rate - 1) > 0.01:
        changes.append(f"{fps:.4g} pictures a second become {rate:g}")
    if size != becomes:
        changes.append(f"{size[0]} x {size[1]} becomes {becomes[0]} x {becomes[1]}")
    scale = max(becomes[0] / size[0], becomes[1] / size[1])
    if size[0] * scale - becomes[0] >= 1 or size[1] * scale - becomes[1] >= 1:
        changes.append("edges are cropped")
    return changes


def said_in(texts: Sequence[str]) -> tuple[str, ...]:
    """Each text once; a blank one says nothing."""
    return tuple(text for text in dict.fromkeys(texts) if text.strip())


def is_playroom(model: "PriorModel") -> bool:
    """Whether it is the model that comes along, which has seen nothing but the playroom."""
    from videogen.models import EMBEDDED

    return model.path.resolve() == EMBEDDED.resolve()


def outside_playroom(prompts: Iterable[str]) -> str | None:
    """What the playroom does not know of these prompts."""
    from videogen.playroom.grammar import OutsideWorldError, parse

    try:
        for prompt in filter(str.strip, prompts):
            parse(prompt)
    except OutsideWorldError as error:
        return str(error)
    return None


def kept_out_of_playroom(prompts: Iterable[str]) -> str | None:
    """Which words of these prompts the model that comes along has never been told, though they are the playroom's."""
    said = {word for prompt in prompts for word in re.findall(r"\w+", prompt.lower())}
    strange = [f"'{word}'" for word in KEPT_OUT if word in said]
    if not strange:
        return None
    were, are = ("was", "is") if len(strange) == 1 else ("were", "are")
    return f"{' and '.join(strange)} {were} kept out of the training of this model, and {are} rarely followed"
