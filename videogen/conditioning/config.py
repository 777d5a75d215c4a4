"""Settings of text conditioning: a vocabulary trained on the captions, a frozen encoder, or a tokenizer of others."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

BYTES_AND_PAD = 257
LARGEST_VOCABULARY = 65_536
LONGEST = 1024
CAPTION = "{caption}"


@dataclass(frozen=True)
class BPEConfig:
    """Byte-level BPE, trained on the captions and embedded by the prior; nothing is downloaded."""

    kind: Literal["bpe"] = "bpe"
    vocabulary: int = 512  # ids at most; few captions need fewer
    length: int = 32  # tokens of a caption; the rest is cut off

    def __post_init__(self) -> None:
        if not BYTES_AND_PAD <= self.vocabulary <= LARGEST_VOCABULARY:
            raise ValueError(
                f"vocabulary is {self.vocabulary}; it is {BYTES_AND_PAD} (each byte, and the padding) "
                f"to {LARGEST_VOCABULARY}"
            )
        _check_length(self.length)


@dataclass(frozen=True)
class EncoderConfig:
    """A frozen text encoder that `transformers` knows: its last hidden states, one a token."""

    model: str  # a folder, or a name on the hub, which is downloaded once
    kind: Literal["encoder"] = "encoder"
    length: int = 32  # tokens of a caption, with those that the encoder's tokenizer adds
    revision: str | None = None  # of a name on the hub; a commit fixes the model
    subfolder: str | None = None  # of the encoder in the model, such as text_encoder
    tokenizer_subfolder: str | None = None  # of its tokenizer, if it is another folder

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("model is empty; give a folder, or a name on the hub")
        for name in ("subfolder", "tokenizer_subfolder"):
            _check_inside(name, getattr(self, name))
        _check_length(self.length)


@dataclass(frozen=True, kw_only=True)
class TokenizerFileConfig:
    """The `tokenizer.json` of a public language model, whose ids its prior embeds, and the words around a caption.

    A model of others that is converted has it; training makes none.
    """

    kind: Literal["tokenizer_file"] = "tokenizer_file"
    vocabulary: int  # ids that the prior embeds
    length: int  # tokens of a caption, with the words and tokens around it
    template: str = "{caption}"
    first: str | None = None  # the name of the token before all
    last: str | None = None  # and of the one after all

    def __post_init__(self) -> None:
        if self.template.count(CAPTION) != 1:
            raise ValueError(f"template is {self.template[:200]!a}; it has {CAPTION} in it once")
        if self.vocabulary < 1:
            raise ValueError(f"vocabulary is {self.vocabulary}; it is at least 1")
        _check_length(self.length)


TextConfig: TypeAlias = BPEConfig | EncoderConfig  # by `kind`: those that a training makes
SavedTextConfig: TypeAlias = TextConfig | TokenizerFileConfig


def _check_length(length: int) -> None:
    if not 1 <= length <= LONGEST:
        raise ValueError(f"length is {length}; it is 1 to {LONGEST} tokens")


def _check_inside(name: str, folder: str | None) -> None:
    if folder is not None and (not folder or folder.startswith("/") or "\\" in folder or ".." in folder.split("/")):
        raise ValueError(f"{name} is '{folder}'; expected a folder inside the model")
