"""What a model will not take in of what it is asked for: it is said, and the rest is done all the same."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videogen.generate import Job
    from videogen.models import PriorModel


def remarks_on(model: "PriorModel", job: "Job", guidance_asked: bool = False) -> list[str]:
    """For people, a line each. Guidance without text is worth one only where somebody asked for it."""
    told, prompts, negatives = model.conditioner, said_in(job.prompts), said_in(job.negative_prompts)
    if told is None:
        asked = {"the prompt": prompts, "the negative prompt": negatives, "guidance": guidance_asked}
        lost = [name for name, given in asked.items() if given]
        nothing = f"{' and '.join(lost)} {'changes' if len(lost) == 1 else 'change'} nothing"
        return [f"{model.path}: its prior was taught without text; {nothing}"] if lost else []
    remarks = []
    for name, texts in (("prompt", prompts), ("negative prompt", negatives)):
        if cut := told.too_long(texts):
            which = f"{cut} of {len(texts)} {name}s" if len(texts) > 1 else f"the {name}"
            verbs = "are longer than {} tokens and lose their" if cut > 1 else "is longer than {} tokens and loses its"
            remarks.append(f"{which} {verbs.format(told.length)} end")
    if negatives and not job.sampler.guided:
        remarks.append("the negative prompt changes nothing while guidance_scale is 1")
    if is_playroom(model) and (reason := outside_playroom(prompts)) is not None:
        remarks.append(f"{reason}; this is the model that comes along. For a world of your own: videogen train --help")
    return remarks


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
