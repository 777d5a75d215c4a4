"""What a server tells of its model, found out once in the model process."""

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.playroom.grammar import caption
from videogen.playroom.scene import sample_scenes
from videogen.remarks import is_playroom, kept_out_of_playroom

if TYPE_CHECKING:
    from videogen.conditioning import Conditioner
    from videogen.pipeline import VideoPipeline

EXAMPLES, SEED = 8, 2024
TOKENS_A_WORD = 1.3  # of a vocabulary that was made of the playroom's words; any other needs more for them


def described(pipe: "VideoPipeline") -> dict[str, Any]:
    """The fields of ModelInfo, in plain JSON, but for what the web process knows itself."""
    from videogen.known import pictures_of_use

    model = pipe.model
    height, width = pipe.size(None, None)
    f_t = model.tokenizer.config.f_t
    return {
        "name": name_of(model.path),
        "objective": model.config.objective,
        "told": model.conditioner is not None,
        "playroom": is_playroom(model),
        "fps": pipe.fps,
        "height": height,
        "width": width,
        "f_t": f_t,
        "grid": (model.taught_on.height, model.taught_on.width),
        "default_frames": pipe.pictures(None),
        "window_seconds": model.config.window * f_t / pipe.fps,
        "pictures_of_use": pictures_of_use(model),
        "sampler": asdict(pipe.sampler),
        "examples": examples_for(model.conditioner),
        "device": str(pipe.device),
    }


def name_of(model: Path) -> str:
    """The last part of its path that says something: a run keeps its model in a folder that is always called so."""
    place = model.resolve()
    return place.parent.name if place.name == "model" else place.name


def examples_for(conditioner: "Conditioner | None") -> tuple[str, ...]:
    """Captions of the playroom for a model that was taught on such, in words that the one that comes along has heard;
    none for others."""
    drawn = (caption(scene, SEED + number) for number, scene in enumerate(sample_scenes(4 * EXAMPLES, SEED)))
    captions = tuple(islice((text for text in drawn if kept_out_of_playroom([text]) is None), EXAMPLES))
    return captions if conditioner is not None and knows(conditioner, captions) else ()


def knows(conditioner: "Conditioner", captions: tuple[str, ...]) -> bool:
    """Whether its own vocabulary was made of such words: each of them is about one token, and all of them fit."""
    words = sum(len(text.replace(",", " ,").split()) for text in captions)
    tokens = sum(len(conditioner.token_ids(text)) for text in captions)
    return conditioner.features is None and not conditioner.too_long(captions) and tokens <= TOKENS_A_WORD * words
