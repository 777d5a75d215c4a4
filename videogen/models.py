"""Model folders: what training exports and every command that uses a model opens.

    model_index.json            which parts there are
    tokenizer/config.json       the tokenizer, and the clips it was made for
    tokenizer/model.safetensors
    README.md  MANIFEST.json    a model card, and the hash of every file

A run folder of training is a model folder too: its newest export counts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.checkpoint import Content, Folder, as_json, read_folder
from videogen.config.bind import bind
from videogen.config.strict_yaml import ConfigError, parse
from videogen.config.strict_yaml import Mapping as Section
from videogen.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from tokenizer.config import TokenizerConfig
    from tokenizer.model import VideoTokenizer

FORMAT, VERSION = "videogen-model", 1
INDEX, TOKENIZER = "model_index.json", "tokenizer"


@dataclass(frozen=True)
class Preprocessing:
    """The clips a tokenizer was trained on, and what `encode` makes of others by default."""

    height: int
    width: int
    fps: float
    frames: int


@dataclass(frozen=True, eq=False)
class TokenizerModel:
    """A tokenizer ready for use: no gradients, evaluation mode, on its device."""

    network: "VideoTokenizer"
    made_for: Preprocessing
    fingerprint: str  # of its weights and configuration: equal ids come from equal fingerprints
    path: Path

    @property
    def config(self) -> "TokenizerConfig":
        return self.network.config


def tokenizer_files(
    config: "TokenizerConfig", made_for: Preprocessing, weights: "Mapping[str, Tensor]", card: str
) -> dict[str, Content]:
    """The files of a model folder with nothing but a tokenizer in it."""
    return {
        INDEX: {"format": FORMAT, "version": VERSION, "parts": [TOKENIZER]},
        f"{TOKENIZER}/config.json": {"network": asdict(config), "made_for": asdict(made_for)},
        f"{TOKENIZER}/model.safetensors": dict(weights),
        "README.md": card,
    }


def load_tokenizer(path: Path, device: str = "cpu") -> TokenizerModel:
    """The tokenizer of a model folder (or of a run folder), every file compared with its hash first."""
    import torch

    from tokenizer.config import TokenizerConfig
    from tokenizer.model import VideoTokenizer

    folder = open_model(path, TOKENIZER)
    parts = folder.json(f"{TOKENIZER}/config.json")
    place = f"{folder.path}/{TOKENIZER}/config.json"
    if not isinstance(parts, dict) or set(parts) != {"network", "made_for"}:
        raise CheckpointError(f"{place}: not the configuration of a tokenizer")
    network = VideoTokenizer(from_json(TokenizerConfig, parts["network"], place))
    weights = folder.tensors(f"{TOKENIZER}/model.safetensors")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise CheckpointError(f"{folder.path}: weights and configuration do not belong together: {reason}") from None
    made_for = from_json(Preprocessing, parts["made_for"], place)
    network = network.eval().requires_grad_(False).to(torch.device(device))
    return TokenizerModel(network, made_for, fingerprint_of(folder), folder.path)


def open_model(path: Path, part: str) -> Folder:
    """The model folder at `path`, or in a run folder's `model`, if it has that part."""
    inside = path / "model"
    folder = read_folder(inside if (inside / INDEX).is_file() else path)
    index = folder.json(INDEX) if INDEX in folder.hashes else None
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise CheckpointError(f"{folder.path}: no {INDEX} of ours in it, so it is not a model")
    if index.get("version") != VERSION:
        raise CheckpointError(
            f"{folder.path}: a model of version {index.get('version')!r}; this program reads {VERSION}"
        )
    if part not in index.get("parts", []):
        raise CheckpointError(f"{folder.path}: has no {part}, only {', '.join(index.get('parts', [])) or 'nothing'}")
    return folder


def fingerprint_of(folder: Folder) -> str:
    """Of the tokenizer's own files; a new model card changes nothing."""
    own = {name: digest for name, digest in folder.hashes.items() if name.startswith(f"{TOKENIZER}/")}
    return Folder(folder.path, own).fingerprint


def from_json(schema: Any, data: Any, place: str) -> Any:
    """A dataclass out of plain data, with the same care as a configuration file; CheckpointError if it is not one."""
    try:
        tree = parse(as_json(data), place, line_numbers=False)
        assert isinstance(tree, Section)
        return bind(schema, tree).value
    except (ConfigError, AssertionError) as error:
        raise CheckpointError(str(error) or f"{place}: not a section of settings") from None
