"""What the server says about its model, found once by the model process."""

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from videogen.conditioning.prompt_vocabulary import PromptVocabulary
from videogen.generation.metadata import name_of
from videogen.playroom.grammar import caption
from videogen.playroom.scene import sample_scenes

if TYPE_CHECKING:
    from videogen.conditioning import Conditioner
    from videogen.pipeline import VideoPipeline

EXAMPLES, SEED = 8, 2024
MAX_TOKENS_PER_WORD = 1.3  # of a tokenizer trained on the playroom's captions; others need more


def describe_model(pipe: "VideoPipeline") -> dict[str, Any]:
    """The fields of ModelInfo as plain JSON, without the media type, which the web process finds."""
    from videogen.generation.conditioning_frames import frames_of_use

    model = pipe.model
    vocabulary = model.prompt_vocabulary
    height, width = pipe.size(None, None)
    return {
        "name": name_of(model.path),
        "fingerprint": model.fingerprint,
        "objective": model.config.objective,
        "likelihood": model.config.head.likelihood,
        "text_conditioned": model.takes_prompts,
        "playroom": vocabulary is not None and vocabulary.world == "playroom",
        "prompt_vocabulary": None if vocabulary is None else vocabulary.to_json(),
        "control": None if model.config.control is None else asdict(model.config.control),
        "fps": pipe.fps,
        "height": height,
        "width": width,
        "frames_per_latent": model.spec.frames_per_latent,
        "groups": tuple(group.shape for group in model.spec.groups),
        "default_frames": pipe.frame_count(None),
        "window_seconds": model.config.window * model.spec.frames_per_latent / pipe.fps,
        "frames_of_use": frames_of_use(model),
        "sampler": asdict(pipe.sampler),
        "examples": examples_for(model.conditioner, vocabulary),
        "device": str(pipe.device),
    }


def examples_for(conditioner: "Conditioner | None", vocabulary: PromptVocabulary | None) -> tuple[str, ...]:
    """Captions of the playroom without held-out words, for a model that was trained on such captions; else nothing."""
    drawn = (caption(scene, SEED + number) for number, scene in enumerate(sample_scenes(4 * EXAMPLES, SEED)))
    trained = (text for text in drawn if vocabulary is None or not vocabulary.read(text).held_out)
    captions = tuple(islice(trained, EXAMPLES))
    return captions if conditioner is not None and reads_playroom(conditioner, captions) else ()


def reads_playroom(conditioner: "Conditioner", captions: tuple[str, ...]) -> bool:
    """Whether the text tokenizer was trained on such captions: about one token for each word, and none is truncated."""
    words = sum(len(text.replace(",", " ,").split()) for text in captions)
    tokens = sum(len(conditioner.token_ids(text)) for text in captions)
    return conditioner.features is None and not conditioner.too_long(captions) and tokens <= MAX_TOKENS_PER_WORD * words
