"""Folders of measures: what is in one, and opening it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from videogen.checkpoint import Folder, read_folder
from videogen.errors import CheckpointError

FORMAT, VERSION = "videogen-measure", 1
INDEX, WEIGHTS = "measure.json", "model.safetensors"


@dataclass(frozen=True)
class MeasureFolder:
    folder: Folder
    kind: str
    variant: str

    @property
    def name(self) -> str:
        """What a report says: the folder and the beginning of its fingerprint."""
        return f"{self.folder.path.name} ({self.folder.fingerprint[:12]})"

    def weights(self) -> Mapping[str, Tensor]:
        return self.folder.tensors(WEIGHTS)


def is_measure(path: Path) -> bool:
    return (path / INDEX).is_file()


def open_measure(path: Path, kind: str) -> MeasureFolder:
    """CheckpointError unless `videogen convert KIND` made the folder and nobody edited it since."""
    if path.is_dir() and not is_measure(path):
        raise CheckpointError(f"{path}: holds no {INDEX}; `videogen convert {kind} SOURCE OUT` makes such a folder")
    folder = read_folder(path)
    index = folder.json(INDEX)
    if not isinstance(index, dict) or index.get("format") != FORMAT or not isinstance(index.get("variant"), str):
        raise CheckpointError(f"{path}/{INDEX}: not of format {FORMAT}")
    if (version := index.get("version")) != VERSION:
        raise CheckpointError(f"{path}: a measure of version {version!r}; this program reads version {VERSION}")
    if (found := index.get("kind")) != kind:
        raise CheckpointError(f"{path}: is of kind {found!r}; expected {kind}")
    return MeasureFolder(folder, kind, index["variant"])
