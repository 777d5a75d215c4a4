"""The metadata of a generated video, in its file and in `VideoOutput`: enough to generate it again."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.control_plan import as_plain

if TYPE_CHECKING:
    from videogen.generate import GenerationRequest
    from videogen.models import PriorModel, TokenizerModel


def metadata_of(model: "PriorModel", request: "GenerationRequest", **more: Any) -> tuple[dict[str, Any], ...]:
    """For each video of a request: prompt, seed, model and settings, as JSON values, without paths and dates.

    `more` is added to each of them; None and empty values are left out.
    """
    common = {
        "model": name_of(model.path),
        "fingerprint": model.fingerprint,
        "dtype": str(model.network.norm.weight.dtype).removeprefix("torch."),
        "settings": asdict(request.sampler),
        "history_noise": request.history_noise or None,
        **more,
    }
    controls = request.controls or ((),) * len(request.seeds)
    each = zip(request.prompts, request.negative_prompts, request.seeds, map(as_plain, controls), strict=True)
    names = ("prompt", "negative_prompt", "seed", "control")
    return tuple(
        {name: value for name, value in {**own, **common}.items() if value not in (None, "", [], ())}
        for own in (dict(zip(names, values, strict=True)) for values in each)
    )


def metadata_of_reconstruction(tokenizer: "TokenizerModel", source: Path, prompt: str | None = None) -> dict[str, Any]:
    """The metadata of a video that was encoded and decoded by a tokenizer; the fingerprint is the tokenizer's."""
    model = {"model": name_of(tokenizer.path), "fingerprint": tokenizer.fingerprint}
    return {"reconstruction_of": source.name, **({} if prompt is None else {"prompt": prompt}), **model}


def name_of(folder: Path) -> str:
    """The name of a model's folder or of its run, without the path, which is private."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def metadata_of_grid(videos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metadata of a grid of videos: values that differ become lists."""
    names = {name: None for one in videos for name in one}
    values = {name: [one.get(name) for one in videos] for name in names}
    return {name: value[0] if all(one == value[0] for one in value) else value for name, value in values.items()}


def in_words(metadata: dict[str, Any]) -> dict[str, str]:
    """The metadata as texts to display, by name."""
    shown = dict(metadata)
    settings = shown.pop("settings", None)
    lines = {name.replace("_", " "): _as_text(value) for name, value in shown.items()}
    if isinstance(settings, dict):
        lines["settings"] = ", ".join(f"{name}={_as_text(value)}" for name, value in settings.items())
    return lines


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(_as_text, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_as_text(one)}" for name, one in value.items())
    text = str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)
