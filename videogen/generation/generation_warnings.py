"""Warnings about requests that run, but may not do what the user expects: a text for people, fields for programs."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sampling.config import ORDERS
from videogen.conditioning.prompt_vocabulary import PromptVocabulary, Reading, UnknownWord

if TYPE_CHECKING:
    from sampling.config import SamplerConfig
    from videogen.generate import GenerationRequest
    from videogen.generation.conditioning_frames import ConditioningFrames
    from videogen.models import PriorModel

Kind = Literal[
    "prompt_rewritten",  # the prompt was rewritten in the model's own words, `read_as`
    "prompt_not_understood",  # the prompt is unchanged, and the model does not know its `words`
    "held_out_words",  # `words` that were held out of training, with synonyms
    "impossible",  # the model's world cannot show it
    "prompt_truncated",
    "no_effect",  # a setting without effect, or text for a model without text
    "frame_size",
    "input_changed",  # a clip or an image is resampled, scaled or cropped
    "no_prompt",  # the continuation has no prompt, so its content may change
    "input_unfamiliar",  # a clip or an image is unlike the training data
]
SHOWN_PROMPTS = 4  # the others are only counted
SHOWN_CHARACTERS = 120  # of a prompt
INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # Unicode categories: control, format, surrogate, line breaks


@dataclass(frozen=True)
class GenerationWarning:
    """One line of text, and its parts."""

    kind: Kind
    text: str
    prompt: str = ""  # the prompt as the user gave it
    read_as: str = ""  # the prompt that the model gets instead
    missing: tuple[str, ...] = ()  # attributes that the prompt lacks: "shape", "size", "colour", "motion", "ground"
    words: tuple[UnknownWord, ...] = ()  # words of the prompt, with suggestions

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def request_warnings(
    model: "PriorModel", request: "GenerationRequest", sampling: Mapping[str, Any]
) -> list[GenerationWarning]:
    """The warnings about prompts and settings; `sampling` holds the settings that the user set."""
    conditioner = model.conditioner
    prompts, negatives = distinct_texts(request.prompts), distinct_texts(request.negative_prompts)
    given = {name: value for name, value in sampling.items() if value is not None}
    found = idle_settings(request.sampler, given, model.spec.tokens)
    if request.history_noise and not model.config.takes_noise_rate:
        idle = "its prior is not told how many tokens of its past are wrong; history_noise has no effect"
        found.append(GenerationWarning("no_effect", f"{model.path}: {idle}"))
    if conditioner is None:
        guidance = given.get("guidance_scale", 1) != 1 and not request.sampler.guided
        inputs = (
            ("the prompt", () if model.takes_prompts else prompts),
            ("the negative prompt", negatives),
            ("guidance", guidance),
        )
        ignored = [name for name, value in inputs if value]
        no_effect = f"{' and '.join(ignored)} {'has' if len(ignored) == 1 else 'have'} no effect"
        warning = GenerationWarning("no_effect", f"{model.path}: its prior was trained without text; {no_effect}")
        return [*found, warning] if ignored else found
    vocabulary = model.prompt_vocabulary
    for name, texts in (("prompt", prompts), ("negative prompt", negatives)):
        read = [text if vocabulary is None else vocabulary.read(text, name == "prompt").text for text in texts]
        if cut := conditioner.too_long(read):
            which = f"{cut} of {len(texts)} {name}s" if len(texts) > 1 else f"the {name}"
            verbs = "are longer than {} tokens and lose their" if cut > 1 else "is longer than {} tokens and loses its"
            found.append(GenerationWarning("prompt_truncated", f"{which} {verbs.format(conditioner.length)} end"))
    if negatives and (why := no_negatives(request.sampler)):
        found.append(GenerationWarning("no_effect", f"the negative prompt has no effect while {why}"))
    return [*found, *prompt_warnings(vocabulary, prompts)]


def no_negatives(sampler: "SamplerConfig") -> str | None:
    """Why a negative prompt has no effect with these settings, or None."""
    if not sampler.guided:
        return "guidance_scale is 1"
    return None if sampler.drops_text else "guidance_drops is control"


def prompt_warnings(vocabulary: PromptVocabulary | None, prompts: Iterable[str]) -> list[GenerationWarning]:
    """The warnings about prompts for a model with a prompt vocabulary; other models get every prompt unchanged."""
    if vocabulary is None:
        return []
    found = [
        warnings for prompt in distinct_texts(tuple(prompts)) if (warnings := reading_warnings(vocabulary, prompt))
    ]
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
        words, synonyms = quoted(each.word for each in reading.held_out), quoted(held_out_synonyms(reading))
        were, are = ("was", "is") if len(reading.held_out) == 1 else ("were", "are")
        text = f"{words} {were} held out of the training of this model, and {are} rarely followed; use {synonyms}"
        warnings.append(GenerationWarning("held_out_words", text, reading.prompt, words=reading.held_out))
    if reading.impossible:
        warnings.append(GenerationWarning("impossible", reading.impossible, reading.prompt))
    return warnings


def rewritten(reading: Reading) -> str:
    """How a prompt was rewritten, in one line."""
    parts = [f"'{word}' as '{becomes}'" for word, becomes in reading.replaced]
    line = f"'{shortened(reading.prompt)}' is read as '{reading.text}'"
    line += f": {', '.join(parts)}" if parts else ""
    line += f"; not said, and chosen: {', '.join(reading.added)}" if reading.added else ""
    return line + (f"; unknown, and left out: {words_and_suggestions(reading.unknown)}" if reading.unknown else "")


def not_understood(reading: Reading, vocabulary: PromptVocabulary) -> str:
    unknown = words_and_suggestions(reading.unknown)
    line = f"'{shortened(reading.prompt)}' is outside the {vocabulary.world}, the only world of this model"
    line += f": unknown {'word' if len(reading.unknown) == 1 else 'words'} {unknown}" if unknown else ""
    line += f"; it names no {' and no '.join(reading.missing)}" if reading.missing else ""
    return f"{line}; an example: '{vocabulary.example}'"


def words_and_suggestions(unknown: Sequence[UnknownWord]) -> str:
    """The words, grouped by their suggestions."""
    words: dict[tuple[str, ...], list[str]] = {}
    for each in unknown:
        words.setdefault(each.suggestions, []).append(shortened(each.word))
    return "; ".join(quoted(some) + (f" (known: {', '.join(near)})" if near else "") for near, some in words.items())


def held_out_synonyms(reading: Reading) -> list[str]:
    return [each.suggestions[0] for each in reading.held_out if each.suggestions]


def quoted(words: Iterable[str]) -> str:
    return " and ".join(f"'{word}'" for word in words)


def shortened(text: str) -> str:
    """The text with invisible characters escaped: they could break or reverse the rest of the line."""
    text = "".join(letter if unicodedata.category(letter) not in INVISIBLE else escaped(letter) for letter in text)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def idle_settings(sampler: "SamplerConfig", given: Mapping[str, Any], tokens: int) -> list[GenerationWarning]:
    """The given settings that have no effect with the others; `tokens` are those of a latent frame."""
    order, unguided = f"order is {sampler.order}", not sampler.guided and "guidance_scale is 1"
    one_by_one = sampler.order in ORDERS["autoregressive"] and order
    certain = sampler.temperature == 0 and "temperature is 0: no token is uncertain"
    idle = {
        "threshold": sampler.order != "threshold" and order,
        "noise": sampler.order != "confidence" and order,
        "entropy_bound": (sampler.order != "entropy" and order) or certain,
        "group_steps": one_by_one,
        "steps": not one_by_one and sampler.group_steps is not None and f"group_steps is {sampler.group_steps}",
        **dict.fromkeys(("guidance_schedule", "guidance_drops", "guidance_start", "guidance_end"), unguided),
    }
    texts = [f"{name} has no effect while {reason}" for name, reason in idle.items() if name in given and reason]
    start, end = sampler.guidance_start, sampler.guidance_end
    if start > end and sampler.guided and not given.keys().isdisjoint(("guidance_start", "guidance_end")):
        texts.append(f"guidance_start = {start:g} is above guidance_end = {end:g}: no step has guidance")
    if given.get("steps", 0) > tokens:
        texts.append(f"steps = {given['steps']}: a latent frame has {tokens} tokens, and so at most {tokens} steps")
    return [GenerationWarning("no_effect", text) for text in texts]


def frame_size_warning(size: tuple[int, int], trained: tuple[int, int]) -> list[GenerationWarning]:
    """The warning about a frame size that the model was not trained on."""
    if size == trained:
        return []
    text = (
        f"frames of {size[0]} x {size[1]} were requested; the model was trained only on {trained[0]} x {trained[1]} "
        "and is worse at other sizes"
    )
    return [GenerationWarning("frame_size", text)]


def input_warnings(model: "PriorModel", conditioning: "ConditioningFrames") -> list[GenerationWarning]:
    """The warning about a clip or an image that is unlike the training data of a model with a prompt vocabulary."""
    vocabulary = model.prompt_vocabulary
    lowest = None if vocabulary is None else vocabulary.lowest_psnr
    if vocabulary is None or lowest is None or conditioning.psnr is None or conditioning.psnr >= lowest:
        return []
    text = (
        f"the clip or image is outside the {vocabulary.world}, the only world of this model: its reconstruction has "
        f"{conditioning.psnr:.0f} dB, that of the {vocabulary.world} at least {lowest:.0f}; expect a poor continuation"
    )
    return [GenerationWarning("input_unfamiliar", text)]


def input_changes(
    size: tuple[int, int],
    becomes: tuple[int, int],
    fps: float | None = None,
    rate: float | None = None,
    transparent: int = 0,
) -> list[str]:
    """How frames of this height and width are changed for the model; `fps` is None for an unknown frame rate,
    `transparent` is the number of frames with transparent pixels."""
    changes = []
    if fps and rate and abs(fps / rate - 1) > 0.01:
        changes.append(f"{fps:.4g} frames a second become {rate:g}")
    if size != becomes:
        changes.append(f"{size[0]} x {size[1]} becomes {becomes[0]} x {becomes[1]}")
    scale = max(becomes[0] / size[0], becomes[1] / size[1])
    if size[0] * scale - becomes[0] >= 1 or size[1] * scale - becomes[1] >= 1:
        changes.append("edges are cropped")
    if transparent:
        changes.append(f"transparent pixels become black ({transparent} {'frame' if transparent == 1 else 'frames'})")
    return changes


def distinct_texts(texts: Sequence[str]) -> tuple[str, ...]:
    """The distinct texts that are not blank."""
    return tuple(text for text in dict.fromkeys(texts) if text.strip())
