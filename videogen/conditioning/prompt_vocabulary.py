"""The words that a model knows, and how a prompt in other words is read: data that a model may bring.

A model trained on the captions of a small world is lost outside of it: one unknown word changes all that it draws. Such
a model has a `prompt_vocabulary.json` in its folder. Prompts in the model's own words stay as they are, to the byte;
others are rewritten before the text encoder reads them. A model without the file reads every prompt as it is.
"""

import graphlib
import importlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from videogen.config.serialization import from_json

FILE = "prompt_vocabulary.json"  # in a model folder
RULE_NAME = re.compile(r"\{(\w+)\}")
READERS = {"playroom": "videogen.playroom.free_text:read"}


@dataclass(frozen=True)
class UnknownWord:
    """A word of a prompt that the model does not know, and the nearest words that it does know."""

    word: str
    suggestions: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """How a model reads a prompt."""

    prompt: str
    text: (
        str  # what the text encoder gets; the prompt itself where it is in the model's words, or nothing could be done
    )
    replaced: tuple[tuple[str, str], ...] = ()  # (a phrase of the prompt, what the model calls it)
    added: tuple[str, ...] = ()  # what the prompt did not say, and the text does: "size medium"
    missing: tuple[str, ...] = ()  # what the prompt does not say: "size", "motion", "ground"
    unknown: tuple[UnknownWord, ...] = ()
    held_out: tuple[UnknownWord, ...] = ()  # words of the world that the model was not trained on; they stay
    impossible: str = ""  # why no picture of the world can show this

    @property
    def rewritten(self) -> bool:
        return self.text != self.prompt


@dataclass(frozen=True)
class PromptVocabulary:
    """What `prompt_vocabulary.json` holds. The world says what its sentences are like, the rest is which words."""

    world: Literal["playroom"]
    example: str  # a prompt in the model's own words
    held_out_words: tuple[str, ...] = ()
    defaults: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of a slot such as "size"
    synonyms: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)  # slot -> value -> other words for it
    ignored: tuple[str, ...] = ()
    lowest_psnr: float | None = None  # dB, of clips through its tokenizer: what is worse is not of this world
    # How captions are built, to find that of a clip: rule -> what it can be, where {name} is another rule. The first is
    # a whole caption, its shortest form first; the others come in the order in which they are decided.
    caption_rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules_over_time: tuple[str, ...] = ()  # of these, what a single frame cannot show

    def __post_init__(self) -> None:
        check_rules(self.caption_rules, self.rules_over_time)
        self._reader(self, "")  # ValueError for slots and values that the world does not have

    def possible(self, caption: str) -> bool:
        """Whether a picture of the world can show what a caption in the model's own words says."""
        reading = self.read(caption)
        return not (reading.impossible or reading.rewritten or reading.missing)

    def read(self, prompt: str, complete: bool = True) -> Reading:
        """`complete` adds what the prompt does not say; otherwise a prompt that says too little stays as it is."""
        reading = self._reader(self, prompt) if prompt.strip() else Reading(prompt, prompt)
        return reading if complete or not reading.added else Reading(prompt, prompt)

    @property
    def _reader(self) -> Callable[["PromptVocabulary", str], Reading]:
        module, _, name = READERS[self.world].partition(":")
        reader: Callable[[PromptVocabulary, str], Reading] = getattr(importlib.import_module(module), name)
        return reader

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: Any, place: str = FILE) -> "PromptVocabulary":
        vocabulary: PromptVocabulary = from_json(PromptVocabulary, data, place)
        return vocabulary


def check_rules(rules: Mapping[str, Sequence[str]], over_time: Sequence[str]) -> None:
    """ValueError for names that are no rules, rules that say nothing, and rules that come back to themselves."""
    within = {rule: {name for text in texts for name in RULE_NAME.findall(text)} for rule, texts in rules.items()}
    for name in {*over_time, *itertools.chain(*within.values())}:
        if not rules.get(name):
            raise ValueError(f"caption_rules has no rule {name}, which is named there or in rules_over_time")
    try:
        tuple(graphlib.TopologicalSorter(within).static_order())
    except graphlib.CycleError as error:
        raise ValueError(f"caption_rules comes back to itself: {' -> '.join(error.args[1])}") from None
