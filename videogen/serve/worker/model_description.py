"""What a server tells of its model, found out once in the model process."""

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.metadata import name_of
from videogen.playroom.grammar import caption
from videogen.playroom.scene import sample_scenes

if TYPE_CHECKING:
    from videogen.conditioning import Conditioner
    from videogen.pipeline import VideoPipeline

EXAMPLES, SEED = 8, 2024
TOKENS_A_WORD = 1.3  # of a vocabulary that was made of the playroom's words; any other needs more for them


def described(pipe: "VideoPipeline") -> dict[str, Any]:
    """The fields of ModelInfo, in plain JSON, but for what the web process knows itself."""
    from videogen.conditioning_frames import frames_of_use

    model = pipe.model
    vocabulary = model.prompt_vocabulary
    height, width = pipe.size(None, None)
    frames_per_latent = model.spec.frames_per_latent
    return {
        "name": name_of(model.path),
        "fingerprint": model.fingerprint,
        "objective": model.config.objective,
        "told": model.conditioner is not None,
        "playroom": vocabulary is not None and vocabulary.world == "playroom",
        "prompt_vocabulary": None if vocabulary is None else vocabulary.to_json(),
        "fps": pipe.fps,
        "height": height,
        "width": width,
        "frames_per_latent": frames_per_latent,
        "groups": tuple(group.shape for group in model.spec.groups),
        "default_frames": pipe.frame_count(None),
        "window_seconds": model.config.window * frames_per_latent / pipe.fps,
        "frames_of_use": frames_of_use(model),
        "sampler": asdict(pipe.sampler),
        "examples": examples_for(model.conditioner, vocabulary),
        "device": str(pipe.device),
    }


def examples_for(conditioner: "Conditioner | None", vocabulary: PromptVocabulary | None) -> tuple[str, ...]:
    """Captions of the playroom for a model that was trained on such, in words that it has seen; none for others."""
    drawn = (caption(scene, SEED + number) for number, scene in enumerate(sample_scenes(4 * EXAMPLES, SEED)))
    heard = (text for text in drawn if vocabulary is None or not vocabulary.read(text).held_out)
    captions = tuple(islice(heard, EXAMPLES))
    return captions if conditioner is not None and knows(conditioner, captions) else ()


def knows(conditioner: "Conditioner", captions: tuple[str, ...]) -> bool:
    """Whether its own vocabulary was made of such words: each of them is about one token, and all of them fit."""
    words = sum(len(text.replace(",", " ,").split()) for text in captions)
    tokens = sum(len(conditioner.token_ids(text)) for text in captions)
    return conditioner.features is None and not conditioner.too_long(captions) and tokens <= TOKENS_A_WORD * words
