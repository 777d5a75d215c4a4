"""What a wish will not bring, though nothing about it is wrong: it is said, and never repaired unsaid."""

from videogen.remarks import idle_settings, kept_out_of_playroom, outside_playroom
from videogen.serve.checking import sampler_of, sampling_of
from videogen.serve.wishes import ModelInfo, Wish


def note_on(wish: Wish, info: ModelInfo) -> str:
    """For people; empty: there is nothing to say."""
    remarks = [wish.beginning.note if wish.beginning else ""]
    if wish.prompt and not info.told:
        remarks.append("the model was taught without text: the prompt changes nothing")
    if info.playroom and (reason := outside_playroom([wish.prompt])) is not None:
        remarks.append(reason)
    if info.playroom and (reason := kept_out_of_playroom([wish.prompt])) is not None:
        remarks.append(reason)
    if wish.negative_prompt and not sampler_of(wish, info).guided:
        remarks.append("negative_prompt changes nothing while guidance_scale is 1")
    rows, columns = info.grid
    remarks += idle_settings(sampler_of(wish, info), sampling_of(wish), rows * columns)
    return "; ".join(filter(None, remarks))
