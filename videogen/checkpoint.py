"""Folders of safetensors, JSON and text: written whole or not at all, and checked against a manifest when read.

    write_folder(path, {"config.json": {...}, "model.safetensors": {"name": tensor}})
    folder = read_folder(path); folder.json("config.json"); folder.tensors("model.safetensors")

A folder is written under a hidden name beside its place, synced, and renamed. Its MANIFEST.json holds the SHA-256 of
every other file, because safetensors load changed bytes without an error. Pickled files are never opened: they can run
code.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from videogen.checkpoint_reader import read_tensors
from videogen.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

Content: TypeAlias = Any  # tensors by name, plain data or text, as the suffix of the file says; or a Path to copy

MANIFEST, FORMAT, VERSION = "MANIFEST.json", "videogen-folder", 1
KNOWN = {".safetensors", ".json", ".md", ".txt"}
PICKLED = {
    *(".bin", ".ckpt", ".dill", ".jit", ".joblib", ".mar", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".pyc"),
}
LARGEST_TEXT = 64 * 1024 * 1024  # of a JSON or text file; weights have no limit


@dataclass(frozen=True)
class Folder:
    """A folder whose files all agree with its manifest."""

    path: Path
    hashes: Mapping[str, str]  # name of a file -> SHA-256

    @property
    def fingerprint(self) -> str:
        """One hash of all files: equal for two folders with the same content."""
        return hashlib.sha256(json.dumps(dict(self.hashes), sort_keys=True).encode()).hexdigest()

    def json(self, name: str) -> Any:
        return _parsed(self._place(name))

    def tensors(self, name: str, device: str = "cpu") -> "dict[str, Tensor]":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        place = self._place(name)
        try:
            return load_file(place, device=device)
        except (SafetensorError, ValueError, KeyError) as error:
            raise CheckpointError(f"{place}: not a safetensors file ({error})") from None

    def each_tensor(self, name: str) -> "Iterator[tuple[str, Tensor]]":
        """One tensor after another, on the CPU, with memory for one at a time."""
        return read_tensors(self._place(name))

    def _place(self, name: str) -> Path:
        if name not in self.hashes:
            raise CheckpointError(f"{self.path}: holds no {name}, only {', '.join(sorted(self.hashes)) or 'nothing'}")
        return self.path / name


def write_folder(path: Path, files: Mapping[str, Content]) -> Folder:
    """Write a folder atomically: a mapping of tensors for a `.safetensors` name, plain data for `.json`, else text.

    A Path is copied byte by byte. Names may contain `/`. A folder at `path` is replaced. If the program dies while it
    writes, a hidden folder stays, which the next write removes.
    """
    partial, old = (path.with_name(f".{path.name}.{word}") for word in ("partial", "old"))
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in files.items():
        _write_file(partial / name, content)
    hashes = {name: sha256_of(partial / name) for name in sorted(files)}
    _write_file(partial / MANIFEST, {"format": FORMAT, "version": VERSION, "sha256": hashes})
    for folder in {(partial / name).parent for name in files} | {partial}:
        sync(folder)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)
    return Folder(path, hashes)


def read_folder(path: Path) -> Folder:
    """The folder at `path`; CheckpointError unless every file has the hash that the manifest lists."""
    refuse_pickled(path)
    hashes = _manifest(path)
    for name, expected in hashes.items():
        place = path / name
        if not place.is_file():
            raise CheckpointError(f"{place}: missing, but {MANIFEST} lists it; take another copy of the folder")
        _refuse_disguised(place)
        if sha256_of(place) != expected:
            raise CheckpointError(f"{place}: damaged or edited (its hash differs from {MANIFEST})")
    return Folder(path, hashes)


def refuse_pickled(folder: Path) -> None:
    """CheckpointError if the folder is missing or holds a pickled file, which can run code when it is read."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: {'a file, not a folder' if folder.exists() else 'no such folder'}")
    for place in sorted(folder.rglob("*")):
        if place.suffix.lower() in PICKLED:
            raise CheckpointError(
                f"{place}: a pickled file can run code when it is read, so the folder is refused; "
                "convert it to safetensors and remove it"
            )


def sha256_of(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(place: Path) -> None:
    """Flush a file, or the names in a folder, to disk, so that they survive a power cut."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_file(place: Path, content: Content) -> None:
    assert place.suffix in KNOWN, f"{place.name}: a folder cannot hold files of this kind"
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, place)
    elif place.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(_separate(content), place)
    else:
        place.write_text(as_json(content) if place.suffix == ".json" else str(content), encoding="utf-8")
    sync(place)


def as_json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _separate(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """The tensors on the CPU, each in its own memory: tied weights and slices are written in full."""
    separate, seen = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        separate[name] = tensor
    return separate


def _manifest(path: Path) -> dict[str, str]:
    place = path / MANIFEST
    if not place.is_file():
        raise CheckpointError(f"{path}: no {MANIFEST} in it, so its files cannot be checked; not a folder of videogen")
    manifest = _parsed(place)
    hashes = manifest.get("sha256") if isinstance(manifest, dict) and manifest.get("format") == FORMAT else None
    if not isinstance(hashes, dict) or not all(_is_entry(name, value) for name, value in hashes.items()):
        raise CheckpointError(f"{place}: not a manifest of format {FORMAT}")
    if manifest.get("version") != VERSION:
        raise CheckpointError(f"{place}: version {manifest.get('version')!r}; this program reads version {VERSION}")
    return hashes


def _is_entry(name: str, value: object) -> bool:
    inside = not (name.startswith("/") or "\\" in name or ".." in name.split("/"))
    return inside and isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _refuse_disguised(place: Path) -> None:
    if place.suffix not in KNOWN:
        raise CheckpointError(f"{place}: a file of unknown kind; folders hold {', '.join(sorted(KNOWN))}")
    with place.open("rb") as file:
        start = file.read(4)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and place.suffix != ".safetensors":
        raise CheckpointError(f"{place}: a pickled file under another name")
    if start == b"PK\x03\x04":
        raise CheckpointError(f"{place}: a zip archive (as torch.save writes) under another name")


def _parsed(place: Path) -> Any:
    try:
        if place.stat().st_size > LARGEST_TEXT:
            raise CheckpointError(f"{place}: larger than {LARGEST_TEXT >> 20} MiB")
        return json.loads(place.read_bytes())
    except (ValueError, RecursionError):
        raise CheckpointError(f"{place}: not JSON") from None
