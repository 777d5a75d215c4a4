"""Rewrite prompts in free words as captions of the playroom: "crimson disc on navy" is a red disc on dark blue.

Words are looked up, longest phrase first. A shape completes a thing, "over" begins the ground, and other words belong
to the nearest of them. Missing parts are filled in and listed. Nothing here is learned.
"""

from dataclasses import dataclass, field

from videogen.conditioning.prompt_vocabulary import PromptVocabulary, Reading, UnknownWord
from videogen.playroom.grammar import PATTERN_WORDS, ImpossibleSceneError, OutsideWorldError, parse
from videogen.playroom.lexicon import THING, WORDS, Lexicon, Meanings, vocabulary_key
from videogen.playroom.scene import GROUNDS

MOST_THINGS = 2
MOST_UNKNOWN = 6  # unknown words that are listed


def read(vocabulary: PromptVocabulary, prompt: str) -> Reading:
    """How the model reads a prompt: captions of the playroom stay as they are, others are rewritten."""
    lexicon = Lexicon.of(vocabulary_key(vocabulary))
    try:
        parse(prompt)
    except ImpossibleSceneError as error:
        return Reading(prompt, prompt, held_out=lexicon.held_out_in(prompt), impossible=str(error))
    except OutsideWorldError:
        return PromptParser(lexicon, prompt).reading()
    return Reading(prompt, prompt, held_out=lexicon.held_out_in(prompt))


@dataclass
class Part:
    """What a prompt says of a thing or the ground: slot -> (value, the words for it)."""

    said: dict[str, tuple[str, str]] = field(default_factory=dict)


class PromptParser:
    """One pass over the words of a prompt."""

    def __init__(self, lexicon: Lexicon, prompt: str):
        self.lexicon, self.prompt = lexicon, prompt
        self.things: list[Part] = []
        self.ground = Part()
        self.pending: dict[str, tuple[str, Meanings]] = {}  # adjectives and verbs before their noun
        self.unknown: list[str] = []
        self.in_ground = self.opened = False  # inside "over ..."; after an article
        for phrase, meanings in lexicon.scan(prompt):
            self.take(phrase, meanings)
        self.flush_pending()

    def take(self, phrase: str, meanings: Meanings) -> None:
        if not meanings:
            self.unknown.append(phrase)
        elif "article" in meanings:
            self.in_ground = self.in_ground and "ground" not in self.ground.said
            self.opened = True
        elif "comma" in meanings or "while" in meanings:
            self.in_ground = self.in_ground and not self.ground.said
            self.opened = self.opened or "while" in meanings
        elif "shape" in meanings and not ("motion" in meanings and self.expects_verb()):
            self.close_thing(phrase, meanings)
        elif "over" in meanings:
            self.in_ground, self.opened = True, False
        elif "background" in meanings or ("pattern" in meanings and meanings["pattern"] != "plain"):
            self.close_ground(phrase, meanings)
        elif "pattern" in meanings or ("ground" in meanings and (self.in_ground or "colour" not in meanings)):
            self.take_ground(phrase, meanings)
        elif meanings.keys() & {"size", "colour", "motion", "speed"}:
            self.take_attribute(phrase, meanings)

    def expects_verb(self) -> bool:
        return bool(self.things) and not self.opened and "motion" not in self.things[-1].said

    def take_attribute(self, phrase: str, meanings: Meanings) -> None:
        slot = next(slot for slot in ("motion", "speed", "size", "colour") if slot in meanings)
        if slot in ("motion", "speed"):
            self.in_ground = False
        thing = self.things[-1] if self.things and not self.opened and not self.pending else None
        if thing is not None and slot not in thing.said:
            thing.said[slot] = (meanings[slot], phrase)
        elif slot in self.pending:
            self.unknown.append(phrase)
        else:
            self.pending[slot] = (phrase, meanings)

    def close_thing(self, phrase: str, meanings: Meanings) -> None:
        if self.in_ground and "ground" in self.ground.said and "pattern" not in self.ground.said:
            value, said = self.ground.said.pop("ground")  # "on a blue box" is a thing, not a ground
            self.pending.setdefault("colour", (said, self.lexicon.phrases.get(tuple(said.split()), {"ground": value})))
        self.in_ground = False
        if self.things and not self.opened and not self.pending:
            return  # "square box" is one thing
        if len(self.things) == MOST_THINGS:
            self.unknown.append(phrase)
        else:
            thing = Part({"shape": (meanings["shape"], phrase)})
            for slot, (said, others) in self.pending.items():
                if slot in others:
                    thing.said[slot] = (others[slot], said)
                else:
                    self.unknown.append(said)
            self.things.append(thing)
        self.pending, self.opened = {}, False

    def take_ground(self, phrase: str, meanings: Meanings) -> None:
        slot = "pattern" if "pattern" in meanings else "ground"
        if slot in self.ground.said:
            self.unknown.append(phrase)
        elif slot == "ground" and not self.in_ground and "pattern" not in self.ground.said:
            self.pending.setdefault("colour", (phrase, meanings))  # until a thing or a background follows
        else:
            self.ground.said[slot] = (meanings[slot], phrase)
            self.in_ground = True

    def close_ground(self, phrase: str, meanings: Meanings) -> None:
        said, others = self.pending.pop("colour", ("", {}))
        if "ground" in others and "ground" not in self.ground.said:
            self.ground.said["ground"] = (others["ground"], said)
        elif said:
            self.pending["colour"] = (said, others)
        if "pattern" in meanings:
            self.ground.said.setdefault("pattern", (meanings["pattern"], phrase))
        self.in_ground, self.opened = "ground" not in self.ground.said, False

    def flush_pending(self) -> None:
        """Give words without a noun after them to the last thing or to the ground."""
        for slot, (said, others) in self.pending.items():
            thing = self.things[-1] if self.things else Part({slot: ("", "")})
            if slot in others and thing.said.setdefault(slot, (others[slot], said))[0] == others[slot]:
                continue
            if "ground" in others and self.things and "ground" not in self.ground.said:
                self.ground.said["ground"] = (others["ground"], said)
            elif slot not in others or self.things:
                self.unknown.append(said)

    def reading(self) -> Reading:
        missing = self.missing()
        unknown = tuple(UnknownWord(word, self.lexicon.suggestions(word, missing)) for word in self.named_unknown())
        if not self.things:  # nothing to draw: no rewriting can help
            return Reading(self.prompt, self.prompt, missing=missing, unknown=unknown)
        added = self.complete()
        text = self.text()
        try:
            parse(text)
            impossible = ""
        except OutsideWorldError as error:
            impossible = str(error)
        return Reading(self.prompt, text, self.replaced(), added, missing, unknown, impossible=impossible)

    def named_unknown(self) -> list[str]:
        """The first of them: to look for words that are spelled alike takes its time."""
        return list(dict.fromkeys(self.unknown))[:MOST_UNKNOWN]

    def missing(self) -> tuple[str, ...]:
        if not self.things:
            return ("shape", *(() if "ground" in self.ground.said else ("ground",)))
        lacking = [slot for slot in ("size", "colour", "motion") for thing in self.things if slot not in thing.said]
        return (*dict.fromkeys(lacking), *(() if "ground" in self.ground.said else ("ground",)))

    def complete(self) -> tuple[str, ...]:
        """Fill in missing parts, if possible with other values than those of the other thing."""
        added = []
        for thing in self.things:
            for slot in THING:
                moves = thing.said.get("motion", ("",))[0] != "still"
                if slot not in thing.said and (slot != "speed" or moves):
                    taken = {other.said.get(slot, ("",))[0] for other in self.things}
                    choices = self.lexicon.defaults.get(slot, tuple(WORDS[slot]))
                    value = next((one for one in choices if one not in taken), choices[0])
                    thing.said[slot] = (value, "")
                    added.append(f"{slot} {self.lexicon.word_for(slot, value)}")
        if "ground" not in self.ground.said:
            value = self.lexicon.defaults.get("ground", tuple(GROUNDS))[0]
            self.ground.said["ground"] = (value, "")
            added.append(f"ground {value}")
        return tuple(dict.fromkeys(added))

    def text(self) -> str:
        things = [self.thing_text(thing) for thing in self.things]
        pattern = self.ground.said.get("pattern", ("plain", ""))[0]
        ground = PATTERN_WORDS[pattern][0].format(self.ground.said["ground"][0])
        return " while ".join((f"{things[0]} over {ground}", *things[1:]))

    def thing_text(self, thing: Part) -> str:
        words = [
            self.lexicon.word_for(slot, *thing.said[slot])
            for slot in THING
            if slot in thing.said and not (slot == "speed" and thing.said["motion"][0] == "still")
        ]
        return f"a {' '.join(words)}"

    def replaced(self) -> tuple[tuple[str, str], ...]:
        """Words of the prompt that are replaced, with their replacements."""
        parts = [(slot, *pair) for thing in (*self.things, self.ground) for slot, pair in thing.said.items()]
        pairs = [(said, self.lexicon.word_for(slot, value, said)) for slot, value, said in parts if said]
        return tuple(dict.fromkeys((said, becomes) for said, becomes in pairs if said != becomes))
