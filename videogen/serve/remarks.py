"""Warnings about a request that can be met, but not as it was meant: nothing is repaired without a word."""

from videogen.generation_warnings import GenerationWarning, idle_settings, prompt_warnings
from videogen.serve.checking import sampler_of, sampling_of
from videogen.serve.wishes import ModelInfo, Wish


def warnings_on(wish: Wish, info: ModelInfo) -> list[GenerationWarning]:
    warnings = (
        [GenerationWarning("input_changed", wish.beginning.note)] if wish.beginning and wish.beginning.note else []
    )
    if wish.prompt and not info.told:
        text = "the model was taught without text: the prompt changes nothing"
        warnings.append(GenerationWarning("no_effect", text, wish.prompt))
    warnings += prompt_warnings(info.prompt_vocabulary, [wish.prompt])
    if wish.negative_prompt and not sampler_of(wish, info).guided:
        text = "negative_prompt changes nothing while guidance_scale is 1"
        warnings.append(GenerationWarning("no_effect", text, wish.negative_prompt))
    rows, columns = info.grid
    return warnings + idle_settings(sampler_of(wish, info), sampling_of(wish), rows * columns)


def note_on(wish: Wish, info: ModelInfo) -> str:
    """The same in one line for people; empty: there is nothing to say."""
    return "; ".join(map(str, warnings_on(wish, info)))
