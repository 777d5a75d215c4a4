"""The captions that a decoder is given: how they are read in a run, and the network's configuration for them."""

from dataclasses import replace
from pathlib import Path

from interfaces.text import CaptionInput
from videogen.conditioning import BPEConfig, Conditioner, make_conditioner
from videogen.errors import DataError, UsageError
from videogen.models import INDEX, load_tokenizer
from videogen.training.loop.stage import naming_init_from
from videogen.training.tokenizer.clips import ClipBatches
from videogen.training.tokenizer.config import TokenizerTrainingConfig


def load_text(
    config: TokenizerTrainingConfig, clips: ClipBatches, folder: Path, device: str = "cpu"
) -> Conditioner | None:
    """The reader of captions. A run with `init_from` keeps the vocabulary that its first weights were trained with."""
    if config.text is None:
        return None
    captions = {clip.entry.caption for clip in clips.train.good}
    if not any(caption.strip() for caption in captions):
        raise DataError(f"{config.data.train}: no clip has a caption, which tokenizer.condition is about")
    given = vocabulary_of_init(config, folder) if isinstance(config.text, BPEConfig) else None
    return make_conditioner(config.text, captions, folder / "features", device) if given is None else given


def vocabulary_of_init(config: TokenizerTrainingConfig, folder: Path) -> Conditioner | None:
    """That of the `init_from` model, from the copy in the run's own export if there is one; None if it has none."""
    if config.init_from is None:
        return None
    own = folder / "model"
    with naming_init_from():
        model = load_tokenizer(own if (own / INDEX).is_file() else config.init_from)
    given = model.conditioner
    if given is not None and getattr(given, "config", None) != config.text:
        raise UsageError(f"init_from names {config.init_from}, whose text configuration differs from this one")
    return given


def with_input(config: TokenizerTrainingConfig, given: CaptionInput | None) -> TokenizerTrainingConfig:
    """The configuration completed by the captions that the decoder reads; UsageError if it names others itself."""
    condition = config.tokenizer.condition
    if condition is None or given is None:
        return config
    if condition.input not in (None, given):
        raise UsageError("tokenizer.condition.input follows from text; leave it out")
    return replace(config, tokenizer=replace(config.tokenizer, condition=replace(condition, input=given)))


def input_of(conditioner: Conditioner | None) -> CaptionInput | None:
    if conditioner is None:
        return None
    return CaptionInput(conditioner.length, conditioner.vocabulary, conditioner.features)
