"""What a continuation goes by when nobody gave a prompt."""

from typing import NamedTuple

from videogen.caption_search import find_caption
from videogen.known import Known
from videogen.models import PriorModel
from videogen.remarks import GenerationWarning, input_warnings


class Continuation(NamedTuple):
    prompt: str  # "": the continuation is free
    warnings: tuple[GenerationWarning, ...] = ()


def continuation_prompt(model: PriorModel, known: Known) -> Continuation:
    """The most likely caption of what the first video goes on from, where the model brings rules for captions. What is
    of another world has none."""
    if model.conditioner is None or input_warnings(model, known):
        return Continuation("")
    vocabulary = model.prompt_vocabulary
    if vocabulary is None or not vocabulary.caption_rules:
        text = "no prompt: the continuation is free, and what is there may change; say what it shows to hold it"
        return Continuation("", (GenerationWarning("no_prompt", text),))
    rules, over_time = vocabulary.caption_rules, vocabulary.rules_over_time
    return Continuation(find_caption(model, rules, known.ids_BThw[0], over_time, vocabulary.possible))
