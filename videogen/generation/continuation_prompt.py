"""The prompt of a continuation if the user gave none."""

from pathlib import Path
from typing import Any, NamedTuple

from videogen.generate import Context
from videogen.generation.caption_search import find_caption
from videogen.generation.conditioning_frames import ConditioningFrames
from videogen.generation.generation_warnings import GenerationWarning, input_warnings
from videogen.generation.metadata import name_of
from videogen.io import read_metadata
from videogen.models import PriorModel


class Continuation(NamedTuple):
    prompt: str  # "": no prompt
    warnings: tuple[GenerationWarning, ...] = ()


def continuation_prompt(model: PriorModel, conditioning: ConditioningFrames, source: Any = None) -> Continuation:
    """The prompt in the metadata of the file, if this model wrote it; else the most likely caption, if the model has
    caption rules. An unfamiliar clip gets no prompt."""
    if model.conditioner is None or input_warnings(model, conditioning):
        return Continuation("")
    if isinstance(source, str | Path) and (prompt := stored_prompt(model, Path(source))):
        return Continuation(prompt)
    vocabulary = model.prompt_vocabulary
    if vocabulary is None or not vocabulary.caption_rules:
        text = "no prompt: the content may change in the continuation; give a prompt that describes the clip"
        return Continuation("", (GenerationWarning("no_prompt", text),))
    rules, over_time = vocabulary.caption_rules, vocabulary.rules_over_time
    return Continuation(find_caption(model, rules, first_video(conditioning.context), over_time, vocabulary.possible))


def first_video(context: Context) -> Context:
    control = None if context.control_BT is None else context.control_BT[:1]
    return Context(context.codes_BTNK[:1], context.spec, control)


def stored_prompt(model: PriorModel, path: Path) -> str | None:
    """The last prompt in the metadata of a file that a model of this name wrote, or None."""
    metadata = read_metadata(path)
    changes = metadata.get("prompt_changes") or [metadata]
    prompt = changes[-1].get("prompt") if isinstance(changes, list) and isinstance(changes[-1], dict) else None
    return prompt if isinstance(prompt, str) and prompt and metadata.get("model") == name_of(model.path) else None
