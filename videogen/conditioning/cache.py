"""A cache of the features of captions: recent ones in memory, and all of them in a folder if there is one.

Each caption has a file, written under another name and renamed, so that processes can share the folder. A file that
does not match the hash inside it is ignored.
"""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 256 << 20  # bytes of features in memory


class FeatureCache:
    """Float32 features [n, `width`] by the SHA-256 of encoder and caption."""

    def __init__(self, folder: Path | None, width: int, memory: int = MEMORY):
        self.folder, self.width, self.memory = folder, width, memory
        self._newest: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0

    def get(self, key: str) -> "Tensor | None":
        if key in self._newest:
            self._newest.move_to_end(key)
            return self._newest[key]
        features = None if self.folder is None else _read(self._place(self.folder, key), self.width)
        if features is not None:
            self._keep(key, features)
        return features

    def put(self, key: str, features: "Tensor") -> None:
        self._keep(key, features)
        if self.folder is not None:
            _write(self._place(self.folder, key), features)

    def _keep(self, key: str, features: "Tensor") -> None:
        self._newest[key] = features
        self._bytes += features.nbytes
        while self._bytes > self.memory and len(self._newest) > 1:
            _, oldest = self._newest.popitem(last=False)
            self._bytes -= oldest.nbytes

    @staticmethod
    def _place(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.safetensors"


def _read(place: Path, width: int) -> "Tensor | None":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(place, framework="pt") as file:
            features: Tensor = file.get_tensor("features")
            written = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    whole = features.ndim == 2 and features.shape[1] == width and written == _digest(features)
    return features if whole else None


def _write(place: Path, features: "Tensor") -> None:
    from safetensors.torch import save_file

    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    save_file({"features": features}, partial, metadata={"sha256": _digest(features)})
    partial.replace(place)


def _digest(features: "Tensor") -> str:
    return hashlib.sha256(features.numpy().tobytes()).hexdigest()
