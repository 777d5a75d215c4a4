"""Archives of torch made by hand, opcode by opcode."""

import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from videogen.checkpoint_reader.old_archive import FIRST_NUMBER, VERSION

FOUR = bytes(16)  # the numbers of a storage of four floats
FACTS = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def value(plain: Any) -> bytes:
    """The opcodes of a plain value."""
    return pickle.dumps(plain, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def storage(kind: str = "FloatStorage", key: Any = "0", items: Any = 4, word: Any = "storage") -> bytes:
    return b"(" + value(word) + name("torch", kind) + value(key) + value("cpu") + value(items) + b"tQ"


def tensor(stored: bytes | None = None, offset: Any = 0, shape: Any = (4,), strides: Any = (1,)) -> bytes:
    arguments = (storage() if stored is None else stored) + value(offset) + value(shape) + value(strides)
    return (
        name("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + arguments
        + b"\x89"
        + name("collections", "OrderedDict")
        + b")RtR"
    )


def mapping(*entries: tuple[Any, bytes]) -> bytes:
    return b"}(" + b"".join(value(key) + content for key, content in entries) + b"u"


def pickled(content: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + content + b"."


WEIGHTS = pickled(mapping(("weight", tensor())))


def archive(
    path: Path, data: bytes | None = WEIGHTS, storages: Mapping[str, bytes] | None = None, **more: bytes
) -> Path:
    """A checkpoint of these parts; `more` are other members of the folder `archive`."""
    members = {f"archive/data/{key}": raw for key, raw in ({"0": FOUR} if storages is None else storages).items()}
    members |= {} if data is None else {"archive/data.pkl": data}
    return zipped(path, [*members.items(), *((f"archive/{member}", raw) for member, raw in more.items())])


def zipped(path: Path, members: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for member, raw in members:
            file.writestr(member, raw)
    return path


def old_archive(
    path: Path,
    root: bytes = WEIGHTS,
    first: object = FIRST_NUMBER,
    version: object = VERSION,
    facts: object = FACTS,
    keys: object = ("0",),
    storages: bytes = struct.pack("<q", 4) + FOUR,
) -> Path:
    """A checkpoint as torch wrote it before version 1.6."""
    listed = list(keys) if isinstance(keys, tuple) else keys
    head = b"".join(pickle.dumps(each, 2) for each in (first, version, facts))
    path.write_bytes(head + root + pickle.dumps(listed, 2) + storages)
    return path
