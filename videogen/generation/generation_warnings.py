"""Warnings about a request that can be met, but not as it was meant: the text for people, the parts for programs."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from videogen.conditioning.prompt_vocabulary import PromptVocabulary, Reading, UnknownWord

if TYPE_CHECKING:
    from sampling.config import SamplerConfig
    from videogen.generate import GenerationRequest
    from videogen.generation.conditioning_frames import ConditioningFrames
    from videogen.models import PriorModel

Kind = Literal[
    "prompt_rewritten",  # the prompt was read in the model's own words, `read_as`
    "prompt_not_understood",  # the model got the prompt as it is, and does not know its `words`
    "held_out_words",  # `words` that the model was not trained on, with others of the same meaning
    "impossible",  # the model's world has no such picture
    "prompt_truncated",
    "no_effect",  # a setting, or text for a model that reads none
    "frame_size",
    "input_changed",  # a clip or a picture is resampled, scaled or cropped
    "no_prompt",  # nothing says what a clip shows, and what follows it need not show the same
    "input_unfamiliar",  # a clip or a picture is unlike all that the model was trained on
]
SHOWN_PROMPTS = 4  # a line each; the rest is counted
SHOWN = 120  # characters of a prompt
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # kinds of characters that are no picture, and move others about


@dataclass(frozen=True)
class GenerationWarning:
    """One line, and what it is about."""

    kind: Kind
    text: str
    prompt: str = ""  # the prompt that it is about
    read_as: str = ""  # what the model reads instead
    missing: tuple[str, ...] = ()  # what the prompt does not say: "shape", "size", "colour", "motion", "ground"
    words: tuple[UnknownWord, ...] = ()  # words of the prompt, with suggestions

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def request_warnings(
    model: "PriorModel", request: "GenerationRequest", asked: Mapping[str, Any]
) -> list[GenerationWarning]:
    """All that can be said before anything is generated; `asked` are the sampling settings that somebody gave."""
    told, prompts, negatives = model.conditioner, said_in(request.prompts), said_in(request.negative_prompts)
    given = {name: value for name, value in asked.items() if value is not None}
    remarks = idle_settings(request.sampler, given, model.spec.tokens)
    if told is None:
        guidance = given.get("guidance_scale", 1) != 1
        lost = [
            name
            for name, said in (("the prompt", prompts), ("the negative prompt", negatives), ("guidance", guidance))
            if said
        ]
        nothing = f"{' and '.join(lost)} {'changes' if len(lost) == 1 else 'change'} nothing"
        reason = GenerationWarning("no_effect", f"{model.path}: its prior was taught without text; {nothing}")
        return [*remarks, reason] if lost else remarks
    vocabulary = model.prompt_vocabulary
    for name, texts in (("prompt", prompts), ("negative prompt", negatives)):
        read = [text if vocabulary is None else vocabulary.read(text, name == "prompt").text for text in texts]
        if cut := told.too_long(read):
            which = f"{cut} of {len(texts)} {name}s" if len(texts) > 1 else f"the {name}"
            verbs = "are longer than {} tokens and lose their" if cut > 1 else "is longer than {} tokens and loses its"
            remarks.append(GenerationWarning("prompt_truncated", f"{which} {verbs.format(told.length)} end"))
    if negatives and not request.sampler.guided:
        remarks.append(GenerationWarning("no_effect", "the negative prompt changes nothing while guidance_scale is 1"))
    return [*remarks, *prompt_warnings(vocabulary, prompts)]


def prompt_warnings(vocabulary: PromptVocabulary | None, prompts: Iterable[str]) -> list[GenerationWarning]:
    """What a model of a small world of words makes of these prompts; nothing where it reads them as they are."""
    if vocabulary is None:
        return []
    found = [warnings for prompt in said_in(tuple(prompts)) if (warnings := reading_warnings(vocabulary, prompt))]
    shown = [warning for warnings in found[:SHOWN_PROMPTS] for warning in warnings]
    if (rest := len(found) - SHOWN_PROMPTS) > 0:
        text = f"{rest} more {'prompt is' if rest == 1 else 'prompts are'} not in the model's own words"
        shown.append(GenerationWarning("prompt_rewritten", text))
    return shown


def reading_warnings(vocabulary: PromptVocabulary, prompt: str) -> list[GenerationWarning]:
    warnings, reading = [], vocabulary.read(prompt)
    if reading.rewritten:
        about = (reading.prompt, reading.text, reading.missing, reading.unknown)
        warnings.append(GenerationWarning("prompt_rewritten", rewritten(reading), *about))
    elif reading.unknown or reading.missing:
        about = (reading.prompt, "", reading.missing, reading.unknown)
        warnings.append(GenerationWarning("prompt_not_understood", not_understood(reading, vocabulary), *about))
    if reading.held_out:
        said, others = quoted(each.word for each in reading.held_out), quoted(held_out_others(reading))
        were, are = ("was", "is") if len(reading.held_out) == 1 else ("were", "are")
        text = f"{said} {were} held out of the training of this model, and {are} rarely followed; say {others}"
        warnings.append(GenerationWarning("held_out_words", text, reading.prompt, words=reading.held_out))
    if reading.impossible:
        warnings.append(GenerationWarning("impossible", reading.impossible, reading.prompt))
    return warnings


def rewritten(reading: Reading) -> str:
    """What was understood, in one line."""
    parts = [f"'{said}' as '{becomes}'" for said, becomes in reading.replaced]
    line = f"'{shortened(reading.prompt)}' is read as '{reading.text}'"
    line += f": {', '.join(parts)}" if parts else ""
    line += f"; not said, and chosen: {', '.join(reading.added)}" if reading.added else ""
    return line + (f"; unknown, and left out: {words_and_suggestions(reading.unknown)}" if reading.unknown else "")


def not_understood(reading: Reading, vocabulary: PromptVocabulary) -> str:
    unknown = words_and_suggestions(reading.unknown)
    line = f"'{shortened(reading.prompt)}' is outside the {vocabulary.world}, all that this model knows"
    line += f": unknown {'word' if len(reading.unknown) == 1 else 'words'} {unknown}" if unknown else ""
    line += f"; it names no {' and no '.join(reading.missing)}" if reading.missing else ""
    return f"{line}; a prompt that it knows: '{vocabulary.example}'"


def words_and_suggestions(unknown: Sequence[UnknownWord]) -> str:
    """Words with the same suggestions stand together."""
    words: dict[tuple[str, ...], list[str]] = {}
    for each in unknown:
        words.setdefault(each.suggestions, []).append(shortened(each.word))
    return "; ".join(quoted(some) + (f" (known: {', '.join(near)})" if near else "") for near, some in words.items())


def held_out_others(reading: Reading) -> list[str]:
    return [each.suggestions[0] for each in reading.held_out if each.suggestions]


def quoted(words: Iterable[str]) -> str:
    return " and ".join(f"'{word}'" for word in words)


def shortened(text: str) -> str:
    """On one line, and in its own order: a prompt may hold characters that turn the rest of a line around."""
    text = "".join(letter if unicodedata.category(letter) not in UNSEEN else escaped(letter) for letter in text)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def idle_settings(sampler: "SamplerConfig", given: Mapping[str, Any], tokens: int) -> list[GenerationWarning]:
    """Of the settings that somebody gave, those that change nothing beside the others; for frames of so many tokens."""
    idle = {
        "threshold": sampler.order != "threshold" and f"order is {sampler.order}",
        "noise": sampler.order != "confidence" and f"order is {sampler.order}",
        "guidance_schedule": not sampler.guided and "guidance_scale is 1",
    }
    texts = [f"{name} changes nothing while {reason}" for name, reason in idle.items() if name in given and reason]
    if given.get("steps", 0) > tokens:
        texts.append(f"a latent frame has {tokens} tokens, and takes no more proposals than that")
    return [GenerationWarning("no_effect", text) for text in texts]


def frame_size_warning(size: tuple[int, int], trained: tuple[int, int]) -> list[GenerationWarning]:
    """For frames of another size than the model was trained on."""
    if size == trained:
        return []
    text = (
        f"frames of {size[0]} x {size[1]} were asked for; the model was trained on {trained[0]} x {trained[1]} alone "
        "and draws worse at other sizes"
    )
    return [GenerationWarning("frame_size", text)]


def input_warnings(model: "PriorModel", conditioning: "ConditioningFrames") -> list[GenerationWarning]:
    """For a clip or a picture that is unlike all that a model of a small world was trained on."""
    vocabulary = model.prompt_vocabulary
    lowest = None if vocabulary is None else vocabulary.lowest_psnr
    if vocabulary is None or lowest is None or conditioning.psnr is None or conditioning.psnr >= lowest:
        return []
    text = (
        f"the clip or picture is outside the {vocabulary.world}, all that this model knows: through its tokens it has "
        f"{conditioning.psnr:.0f} dB, its own world {lowest:.0f} or more; what follows has little to do with it"
    )
    return [GenerationWarning("input_unfamiliar", text)]


def changed_on_the_way(
    size: tuple[int, int],
    becomes: tuple[int, int],
    fps: float | None = None,
    rate: float | None = None,
    transparent: int = 0,
) -> list[str]:
    """What a model does not see as it is of pictures of this height and width; `fps` where their rate is known, and
    how many of them are `transparent` somewhere."""
    changes = []
    if fps and rate and abs(fps / rate - 1) > 0.01:
        changes.append(f"{fps:.4g} pictures a second become {rate:g}")
    if size != becomes:
        changes.append(f"{size[0]} x {size[1]} becomes {becomes[0]} x {becomes[1]}")
    scale = max(becomes[0] / size[0], becomes[1] / size[1])
    if size[0] * scale - becomes[0] >= 1 or size[1] * scale - becomes[1] >= 1:
        changes.append("edges are cropped")
    if transparent:
        changes.append(
            f"transparent pixels become black ({transparent} {'picture' if transparent == 1 else 'pictures'})"
        )
    return changes


def said_in(texts: Sequence[str]) -> tuple[str, ...]:
    """Each text once; a blank one says nothing."""
    return tuple(text for text in dict.fromkeys(texts) if text.strip())
