"""A folder is read back bit for bit or refused with one line; files that can run code are never opened."""

import json
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import videogen
from videogen.checkpoint import MANIFEST, Folder, read_folder, write_folder
from videogen.errors import CheckpointError

CHECKOUT = Path(videogen.__file__).parents[1]


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    kinds = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
    tensors = {str(kind): (torch.rand(3, 5, generator=g) * 9).to(kind) for kind in kinds}
    return {**tensors, "scalar": torch.tensor(float(seed)), "empty": torch.empty(0, 4)}


def write(path: Path, seed: int = 0) -> Folder:
    files = {"config.json": {"seed": seed, "name": "ä"}, "part/model.safetensors": tensors(seed), "README.md": "# hi\n"}
    return write_folder(path, files)


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a)


def read_all(path: Path) -> None:
    folder = read_folder(path)
    for name in folder.hashes:
        folder.tensors(name) if name.endswith("safetensors") else folder.json(name)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_all(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_written_folder_can_be_read(tmp_path: Path) -> None:
    written = write(tmp_path / "a")
    folder = read_folder(tmp_path / "a")
    assert folder == written
    assert folder.json("config.json") == {"seed": 0, "name": "ä"}
    assert equal(folder.tensors("part/model.safetensors"), tensors())
    assert [place.name for place in tmp_path.iterdir()] == ["a"]


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    assert write(tmp_path / "a").fingerprint == write(tmp_path / "b").fingerprint
    assert write(tmp_path / "a").fingerprint != write(tmp_path / "b", seed=1).fingerprint


def test_a_folder_is_replaced_atomically_and_leftovers_are_removed(tmp_path: Path) -> None:
    for name in (".a.partial", ".a.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "junk").write_text("junk")
    write(tmp_path / "a")
    write_folder(tmp_path / "a", {"only.json": 1})
    assert sorted(place.name for place in (tmp_path / "a").iterdir()) == [MANIFEST, "only.json"]
    assert [place.name for place in tmp_path.iterdir()] == ["a"]


def test_tied_tensors_and_slices_are_written_in_full(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    given = {"whole": whole, "again": whole, "row": whole[1], "turned": whole.T}
    write_folder(tmp_path / "a", {"model.safetensors": given})
    assert equal(read_folder(tmp_path / "a").tensors("model.safetensors"), given)


@pytest.mark.parametrize("name", ["config.json", "part/model.safetensors", "README.md", MANIFEST])
def test_any_changed_bit_is_found(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a")
    place, draw = tmp_path / "a" / name, random.Random(0)
    raw = place.read_bytes()
    for _ in range(20):
        bit = draw.randrange(8 * len(raw))
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        place.write_bytes(flipped)
        if name != MANIFEST or _meaning(bytes(flipped)) != _meaning(raw):
            refused(tmp_path / "a")


def _meaning(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@pytest.mark.parametrize("name", ["config.json", "part/model.safetensors", "README.md", MANIFEST])
def test_missing_and_truncated_files_are_found(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a")
    place = tmp_path / "a" / name
    place.write_bytes(place.read_bytes()[:-1].rstrip(b"}"))
    refused(tmp_path / "a")
    place.unlink()
    assert name.rpartition("/")[2] in refused(tmp_path / "a")


class Trap:
    """A pickle that leaves a trace when it is opened."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "part/rng.pkl", "model.PT", "array.npy"])
def test_pickles_are_refused_without_opening_them(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a")
    (tmp_path / "a" / name).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    assert "pickled" in refused(tmp_path / "a")
    assert not (tmp_path / "mark").exists()


def with_hash_of(folder: Path, name: str) -> None:
    """Updates the hash of the file in the manifest, as an attacker would."""
    import hashlib

    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", ["config.json", "part/model.safetensors"])
@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_disguised_pickles_are_refused_without_opening_them(tmp_path: Path, name: str, how: str) -> None:
    write(tmp_path / "a")
    if how == "pickle":
        (tmp_path / "a" / name).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    else:
        torch.save(Trap(tmp_path / "mark"), tmp_path / "a" / name)
    with_hash_of(tmp_path / "a", name)
    refused(tmp_path / "a")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["../secret.json", "/etc/hostname.json", "part/../../secret.json"])
def test_a_manifest_cannot_point_outside(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a")
    (tmp_path / "secret.json").write_text("{}")
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_bytes())
    manifest["sha256"][name] = "0" * 64
    (tmp_path / "a" / MANIFEST).write_text(json.dumps(manifest))
    assert f"{MANIFEST}: not a manifest" in refused(tmp_path / "a")


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert MANIFEST in refused(tmp_path / "empty")
    with pytest.raises(CheckpointError, match=r"other\.json"):
        write(tmp_path / "a").json("other.json")


PROGRAM = """
import sys
from pathlib import Path
import torch
from videogen.checkpoint import write_folder
for step in range(10**6):
    parts = {f"{i}.safetensors": {"x": torch.full((20_000,), float(step))} for i in range(4)}
    write_folder(Path(sys.argv[1]) / f"step_{step:08}", {**parts, "state.json": step})
    print(step, flush=True)
"""


def killed_while_writing(folder: Path, draw: random.Random) -> int:
    """How many folders were done when the process was killed, at some moment of its fourth or so."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    with child.stdout:
        for _ in range(3):
            child.stdout.readline()
        try:
            child.wait(timeout=draw.uniform(0, 0.02))
        except subprocess.TimeoutExpired:
            child.kill()
        said = child.stdout.read().split()
    child.wait()
    return 3 + len(said)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_while_writing_leaves_only_whole_folders(tmp_path: Path, kills: int) -> None:
    draw = random.Random(kills)
    for kill in range(kills):
        done = killed_while_writing(tmp_path / str(kill), draw)
        found = sorted((tmp_path / str(kill)).glob("step_*"))
        assert len(found) in (done, done + 1)
        for step, place in enumerate(found):
            folder = read_folder(place)
            assert folder.json("state.json") == step
            assert all(bool((folder.tensors(f"{i}.safetensors")["x"] == step).all()) for i in range(4))
