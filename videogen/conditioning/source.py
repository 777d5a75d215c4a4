"""The files of a frozen encoder: safetensors and JSON, identified by their hashes.

A name on the hub is downloaded only if it is not in the local cache, so that a run continues with the files it started
with, and without a network.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from videogen.checkpoint import sha256_of
from videogen.conditioning.config import EncoderConfig
from videogen.conditioning.loading import without_progress_bars
from videogen.errors import CheckpointError, UsageError, VideogenError

CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
MODEL_FILES = (CONFIG, WEIGHTS, SHARDS, "model-*-of-*.safetensors")
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "spm.model", "sentencepiece.bpe.model"),
    "tokenizer.model",
)


@dataclass(frozen=True)
class EncoderSource:
    """A folder with a `transformers` model and one with its tokenizer, often the same."""

    model: Path
    tokenizer: Path

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file that decides the features of a caption."""
        model = {f"model/{name}": sha256_of(self.model / name) for name in (CONFIG, *self._weights())}
        return model | {f"tokenizer/{name}": sha256_of(self.tokenizer / name) for name in self._tokenizer()}

    def check(self) -> None:
        """UsageError or CheckpointError if files are missing, or are there only as pickles."""
        if not (self.model / CONFIG).is_file():
            raise UsageError(f"{self.model}: has no {CONFIG}, so it is not a text encoder that transformers can load")
        if not self._tokenizer():
            raise UsageError(f"{self.tokenizer}: has no tokenizer; save the encoder's tokenizer there")
        self._weights()

    def _tokenizer(self) -> list[str]:
        return [name for name in TOKENIZER_FILES if (self.tokenizer / name).is_file()]

    def _weights(self) -> list[str]:
        """The safetensors files, with the list of shards if there is one."""
        if (self.model / WEIGHTS).is_file():
            return [WEIGHTS]
        if (self.model / SHARDS).is_file():
            return [SHARDS, *_shards(self.model / SHARDS)]
        pickled = sorted(place.name for place in self.model.glob("*.bin"))
        found = f"only {pickled[0]}, a pickled file that can run code when it is read" if pickled else "no weights"
        raise CheckpointError(
            f"{self.model}: {found}; a text encoder must be in safetensors, as save_pretrained of transformers writes"
        )


def find_encoder(config: EncoderConfig, elsewhere: str | None = None) -> EncoderSource:
    """The encoder of a configuration, or the one at `elsewhere`; UsageError if it cannot be found."""
    place = config.model if elsewhere is None else elsewhere
    folder = Path(place).expanduser()
    source = _inside(folder, config) if folder.is_dir() else _from_hub(place, config)
    source.check()
    return source


def _inside(folder: Path, config: EncoderConfig) -> EncoderSource:
    model = config.subfolder or ""
    tokenizer = model if config.tokenizer_subfolder is None else config.tokenizer_subfolder
    return EncoderSource(folder / model, folder / tokenizer)


def _from_hub(name: str, config: EncoderConfig) -> EncoderSource:
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise UsageError(f"{name}: no such folder; give the folder of a text encoder, or its name on the hub")
    try:
        try:
            source = _inside(_snapshot(name, config, downloaded=True), config)
            source.check()
        except (OSError, VideogenError):
            source = _inside(_snapshot(name, config, downloaded=False), config)
    except (OSError, ValueError):
        raise UsageError(
            f"{name}: not a folder here, and it cannot be downloaded from the hub; "
            "check the name, the network and your access, or give a folder with the text encoder in it"
        ) from None
    return source


def _snapshot(name: str, config: EncoderConfig, downloaded: bool) -> Path:
    from huggingface_hub import snapshot_download

    root = _inside(Path(), config)
    model, tokenizer = ("" if part == Path() else f"{part.as_posix()}/" for part in (root.model, root.tokenizer))
    wanted = [model + file for file in MODEL_FILES] + [tokenizer + file for file in TOKENIZER_FILES]
    with without_progress_bars():
        folder = snapshot_download(name, revision=config.revision, allow_patterns=wanted, local_files_only=downloaded)
    return Path(folder)


def _shards(place: Path) -> list[str]:
    try:
        shards = sorted(set(json.loads(place.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{place}: not a list of shards") from None
    for shard in shards:
        if "/" in shard or not shard.endswith(".safetensors") or not (place.parent / shard).is_file():
            raise CheckpointError(f"{place}: lists {shard}, which is missing or not a safetensors file")
    return shards
