"""Make a conditioner from a configuration, or load one from a model folder."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from videogen.checkpoint import Folder
from videogen.conditioning.base import Conditioner
from videogen.conditioning.config import BPEConfig, EncoderConfig, SavedTextConfig, TextConfig, TokenizerFileConfig
from videogen.config.serialization import from_json
from videogen.errors import CheckpointError, UsageError

CONFIG, VOCABULARY = "text/config.json", "text/tokenizer.json"


@dataclass(frozen=True)
class SavedConditioner:
    """The contents of `text/config.json`."""

    text: SavedTextConfig
    features: int | None = None  # of an encoder
    sha256: dict[str, str] = field(default_factory=dict)  # of its files


def make_conditioner(
    config: TextConfig, captions: Iterable[str], cache: Path | None = None, device: str = "cpu"
) -> Conditioner:
    """For a new model: a vocabulary trained on `captions`, or an encoder with the folder `cache` for its features.

    The encoder runs on `device`; features are on the CPU, as ids are.
    """
    if isinstance(config, BPEConfig):
        from videogen.conditioning.bpe import train_bpe

        return train_bpe(config, captions)
    from videogen.conditioning.encoder import EncoderConditioner
    from videogen.conditioning.source import find_encoder

    return EncoderConditioner(config, find_encoder(config), cache, device)


def load_conditioner(
    folder: Folder, cache: Path | None = None, device: str = "cpu", encoder: str | None = None, inside: str = ""
) -> Conditioner:
    """The conditioner of a model folder, or of the part in its folder `inside`, such as `tokenizer/`.

    `encoder` is a new folder or name of its frozen encoder. CheckpointError if the encoder is missing or is not the one
    that the model was trained with.
    """
    config, vocabulary = f"{inside}{CONFIG}", f"{inside}{VOCABULARY}"
    place = f"{folder.path}/{config}"
    saved: SavedConditioner = from_json(SavedConditioner, folder.json(config), place)
    if isinstance(saved.text, BPEConfig):
        from videogen.conditioning.bpe import load_bpe

        return load_bpe(saved.text, folder.json(vocabulary), f"{folder.path}/{vocabulary}")
    if isinstance(saved.text, TokenizerFileConfig):
        from videogen.conditioning.tokenizer_file import load_tokenizer_file

        return load_tokenizer_file(saved.text, folder.json(vocabulary), f"{folder.path}/{vocabulary}")
    return _same_encoder(saved, saved.text, place, cache, device, encoder)


def _same_encoder(
    saved: SavedConditioner, config: EncoderConfig, place: str, cache: Path | None, device: str, elsewhere: str | None
) -> Conditioner:
    from videogen.conditioning.encoder import EncoderConditioner
    from videogen.conditioning.source import find_encoder

    try:
        source = find_encoder(config, elsewhere)
    except UsageError as error:
        raise CheckpointError(f"{place}: its text encoder is missing: {error}") from None
    names = saved.sha256.keys() | source.hashes.keys()
    other = sorted(name for name in names if saved.sha256.get(name) != source.hashes.get(name))
    if other:
        raise CheckpointError(
            f"{source.model}: not the text encoder that {place} was trained with ({', '.join(other)} differ); "
            "give that one"
        )
    return EncoderConditioner(config, source, cache, device)
