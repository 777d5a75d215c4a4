"""The words that a model knows, and how prompts in other words are rewritten: data in a model folder.

For a model trained on the captions of a small world, one unknown word can change the whole video. Such a model has a
`prompt_vocabulary.json` in its folder. Prompts in the model's own words stay as they are, to the byte; others are
rewritten before the text encoder reads them. Without the file, every prompt stays as it is.
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
    """A word of a prompt that the model does not know, and the nearest words that it knows."""

    word: str
    suggestions: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """A prompt, the text that the model gets for it, and how they differ."""

    prompt: str
    text: str  # what the text encoder gets; the prompt itself if it needs no rewriting, or cannot be rewritten
    replaced: tuple[tuple[str, str], ...] = ()  # (a phrase of the prompt, the model's phrase)
    added: tuple[str, ...] = ()  # what the text adds to the prompt: "size medium"
    missing: tuple[str, ...] = ()  # what the prompt leaves out: "size", "motion", "ground"
    unknown: tuple[UnknownWord, ...] = ()
    held_out: tuple[UnknownWord, ...] = ()  # words that the model was not trained on; they are not replaced
    impossible: str = ""  # why the world cannot show it

    @property
    def rewritten(self) -> bool:
        return self.text != self.prompt


@dataclass(frozen=True)
class PromptVocabulary:
    """The contents of `prompt_vocabulary.json`: the world, which defines the sentences, and the words."""

    world: Literal["playroom"]
    example: str  # a prompt in the model's own words
    held_out_words: tuple[str, ...] = ()
    defaults: dict[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # of a slot such as "size", in order of preference
    synonyms: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)  # slot -> value -> other words for it
    ignored: tuple[str, ...] = ()
    lowest_psnr: float | None = None  # dB of a clip through the tokenizer; a clip below it is not of this world
    # The grammar of captions, to search that of a clip: rule -> alternatives, where {name} is another rule. The first
    # rule is a whole caption, its shortest form first; the others are decided in this order.
    caption_rules: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules_over_time: tuple[str, ...] = ()  # rules that a single frame cannot show

    def __post_init__(self) -> None:
        check_rules(self.caption_rules, self.rules_over_time)
        self._reader(self, "")  # ValueError for slots and values that the world does not have

    def possible(self, caption: str) -> bool:
        """Whether the world can show a caption in the model's own words."""
        reading = self.read(caption)
        return not (reading.impossible or reading.rewritten or reading.missing)

    def read(self, prompt: str, complete: bool = True) -> Reading:
        """How the model reads a prompt; without `complete`, a prompt with missing parts stays as it is."""
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
    """ValueError for unknown rules, empty rules and cycles."""
    within = {rule: {name for text in texts for name in RULE_NAME.findall(text)} for rule, texts in rules.items()}
    for name in {*over_time, *itertools.chain(*within.values())}:
        if not rules.get(name):
            raise ValueError(f"caption_rules has no rule {name}, which is named there or in rules_over_time")
    try:
        tuple(graphlib.TopologicalSorter(within).static_order())
    except graphlib.CycleError as error:
        raise ValueError(f"caption_rules has a cycle: {' -> '.join(error.args[1])}") from None
