"""The phrases that the playroom understands in prompts, and their meanings."""

import difflib
import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from videogen.conditioning.prompt_vocabulary import PromptVocabulary, UnknownWord
from videogen.playroom.grammar import MOTION_WORDS, OVER, PATTERN_WORDS, SHAPE_WORDS, SIZE_WORDS, SPEED_WORDS
from videogen.playroom.scene import COLOURS, GROUNDS

NEAR = 3  # known words that are suggested for an unknown one
LONGEST = 300  # words of a prompt that are read
ARTICLES = ("a", "an", "the")
WORDS: Mapping[str, Mapping[str, Sequence[str]]] = {  # slot -> value -> the playroom's own words for it
    "shape": SHAPE_WORDS,
    "size": SIZE_WORDS,
    "colour": {colour: (colour,) for colour in COLOURS},
    "motion": MOTION_WORDS,
    "speed": SPEED_WORDS,
    "pattern": {pattern: (pattern,) for pattern in PATTERN_WORDS},
    "ground": {ground: (ground,) for ground in GROUNDS},
    "background": {"background": ("background",)},
    "over": {"over": OVER},
    "while": {"while": ("while", "and")},
    "ignored": {"ignored": ()},
    "article": {"article": ARTICLES},
}
THING = ("size", "colour", "shape", "motion", "speed")
Meanings = Mapping[str, str]  # slot -> value: "blue" is a colour of things, and as a ground it is "dark blue"

Key = tuple[tuple[str, ...], tuple[tuple[str, str, tuple[str, ...]], ...], tuple[tuple[str, tuple[str, ...]], ...]]


def vocabulary_key(vocabulary: PromptVocabulary) -> Key:
    """The vocabulary in tuples, as the key of a cache."""
    synonyms = [(slot, *pair) for slot, values in vocabulary.synonyms.items() for pair in values.items()]
    synonyms.append(("ignored", "ignored", vocabulary.ignored))
    return vocabulary.held_out_words, tuple(synonyms), tuple(vocabulary.defaults.items())


@dataclass(frozen=True)
class Lexicon:
    """The phrases of the playroom and of a vocabulary, with their meanings."""

    phrases: Mapping[tuple[str, ...], Meanings]
    words: Mapping[str, Mapping[str, Sequence[str]]]  # words of the playroom that the model was trained on
    held_out: tuple[str, ...]
    defaults: Mapping[str, Sequence[str]]
    longest: int

    @staticmethod
    @functools.lru_cache(8)
    def of(key: Key) -> "Lexicon":
        held_out, synonyms, defaults = key
        phrases: dict[tuple[str, ...], dict[str, str]] = {}
        own = [(slot, value, words) for slot, values in WORDS.items() for value, words in values.items()]
        for slot, value, words in (*own, *synonyms):
            if value not in WORDS.get(slot, {}):
                raise ValueError(f"synonyms has {slot} {value}, which the playroom does not have")
            for word in words:
                phrases.setdefault(tuple(word.split()), {}).setdefault(slot, value)
        for slot, values in defaults:
            if slot not in (*THING, "ground") or not set(values) <= set(WORDS[slot]):
                raise ValueError(f"defaults has {slot} {', '.join(values)}, which the playroom does not have")
        heard = {
            slot: {value: tuple(word for word in words if word not in held_out) for value, words in values.items()}
            for slot, values in WORDS.items()
        }
        return Lexicon(phrases, heard, held_out, dict(defaults), max(map(len, phrases)))

    def scan(self, text: str) -> Iterator[tuple[str, Meanings]]:
        """Phrases and their meanings, the longest first; commas and full stops count as "and"."""
        words = re.findall(r"[\w'-]+|[,.;:]", text.lower().replace("’", "'"))[:LONGEST]
        start = 0
        while start < len(words):
            for end in range(min(len(words), start + self.longest), start, -1):
                meanings = self.phrases.get(tuple(words[start:end]))
                if meanings is not None:
                    break
            else:
                meanings = {"comma": ","} if words[start] in ",.;:" else {}
            yield " ".join(words[start:end]), meanings
            start = end

    def held_out_in(self, text: str) -> tuple[UnknownWord, ...]:
        said = set(re.findall(r"\w+", text.lower()))
        return tuple(UnknownWord(word, self.synonyms_of(word)) for word in self.held_out if word in said)

    def synonyms_of(self, word: str) -> tuple[str, ...]:
        """Words of the same meaning that the model was trained on."""
        meanings = self.phrases.get((word,), {})
        return tuple(itertools.chain(*(self.words[slot][value] for slot, value in meanings.items())))[:NEAR]

    def suggestions(self, word: str, missing: Sequence[str]) -> tuple[str, ...]:
        """Known words of similar spelling; if there are none, or the word is known, words for a missing part."""
        known = [" ".join(phrase) for phrase, meanings in self.phrases.items() if meanings.keys() & {*THING, "ground"}]
        alike = [] if word in known else difflib.get_close_matches(word, known, NEAR, cutoff=0.75)
        lacking = [slot for slot in ("shape", "colour", "ground", "motion", "size") if slot in missing]
        return tuple(alike or (words[0] for slot in lacking[:1] for words in self.words[slot].values()))

    def word_for(self, slot: str, value: str, said: str = "") -> str:
        """The word of the prompt if the model was trained on it, else the first word for the value."""
        words = self.words[slot][value]
        return said if said in words else words[0]
