"""Files that want to run something, to read something or to fill the memory, and files that are merely damaged."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.checkpoint_reader.archives import (
    FOUR,
    WEIGHTS,
    archive,
    mapping,
    name,
    old_archive,
    pickled,
    storage,
    tensor,
    value,
    zipped,
)
from videogen.checkpoint_reader.old_archive import FIRST_NUMBER

Make = Callable[[Path, str], Path]  # (folder, shell command that makes the marker) -> the file


def text(content: str) -> bytes:
    raw = content.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


# Pickles that run a shell command when Python's pickle reads them.
RUNNING: dict[str, Callable[[str], bytes]] = {
    "GLOBAL os.system": lambda command: pickled(name("os", "system") + value((command,)) + b"R"),
    "GLOBAL posix.system": lambda command: pickled(name("posix", "system") + value((command,)) + b"R"),
    "GLOBAL builtins.eval": lambda command: pickled(
        name("builtins", "eval") + value((f"__import__('os').system({command!r})",)) + b"R"
    ),
    "STACK_GLOBAL posix.system": lambda command: pickled(
        text("posix") + text("system") + b"\x93" + value((command,)) + b"R", 4
    ),
    "NEWOBJ subprocess.Popen": lambda command: pickled(
        name("subprocess", "Popen") + value((["sh", "-c", command],)) + b"\x81"
        + name("subprocess", "call") + value((["sh", "-c", command],)) + b"R0"
    ),
    "INST os.system": lambda command: b"(" + value(command) + b"ios\nsystem\n.",
    "OBJ os.system": lambda command: pickled(b"(" + name("os", "system") + value(command) + b"o"),
    "BUILD": lambda command: pickled(
        name("collections", "OrderedDict") + b")R" + value({"a": 1}) + b"b0"
        + name("os", "system") + value((command,)) + b"R"
    ),
    "among weights": lambda command: pickled(
        mapping(("epoch", name("os", "system") + value((command,)) + b"R"), ("state_dict", mapping()))
    ),
    "getattr": lambda command: pickled(
        name("builtins", "getattr") + b"(" + name("builtins", "__import__") + value(("os",)) + b"R" + value("system")
        + b"tR" + value((command,)) + b"R"
    ),
}  # fmt: skip


def running(how: str) -> Make:
    return lambda folder, command: archive(folder / "bad.ckpt", RUNNING[how](command))


def running_in_old(how: str) -> Make:
    return lambda folder, command: old_archive(folder / "bad.ckpt", RUNNING[how](command))


def weights(*entries: tuple[Any, bytes], storages: dict[str, bytes] | None = None) -> Make:
    return lambda folder, _: archive(folder / "bad.ckpt", pickled(mapping(*entries)), storages)


def one(stored: bytes | None = None, storages: dict[str, bytes] | None = None, **view: Any) -> Make:
    return weights(("weight", tensor(stored, **view)), storages=storages)


def data(content: bytes) -> Make:
    return lambda folder, _: archive(folder / "bad.ckpt", content)


def beside(content: bytes) -> Make:
    """Good weights, and this beside them."""
    return weights(("state_dict", mapping(("weight", tensor()))), ("more", content))


def members(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Make:
    return lambda folder, _: zipped(folder / "bad.ckpt", entries, compression)


def edited(change: Callable[[bytearray], None], suffix: str = ".ckpt") -> Make:
    """A good archive, changed byte by byte."""

    def make(folder: Path, _: str) -> Path:
        path = archive(folder / f"bad{suffix}")
        raw = bytearray(path.read_bytes())
        change(raw)
        path.write_bytes(raw)
        return path

    return make


def raw(content: bytes, file: str = "bad.ckpt") -> Make:
    def make(folder: Path, _: str) -> Path:
        (folder / file).write_bytes(content)
        return folder / file

    return make


def safetensors(header: Any, body: bytes = FOUR) -> Make:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return raw(struct.pack("<Q", len(content)) + content + body, "bad.safetensors")


def entry(begin: int = 0, end: int = 16, shape: Any = (4,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def truncate(content: bytearray) -> None:
    del content[len(content) // 2 :]


def overlapping(folder: Path, _: str) -> Path:
    """Two storages of the same bytes: the second entry of the directory points to the member of the first."""
    both = pickled(mapping(("a", tensor()), ("b", tensor(storage(key="1")))))
    path = archive(folder / "bad.ckpt", both, {"0": FOUR, "1": FOUR})
    content = bytearray(path.read_bytes())
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    path.write_bytes(content)
    return path


def flip_a_number(content: bytearray) -> None:
    content[content.index(FOUR) + 2] ^= 1


def encrypt(content: bytearray) -> None:
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        content[at + 8] |= 1


def link(target: str, file: str = "bad.ckpt") -> Make:
    def make(folder: Path, _: str) -> Path:
        (folder / file).symlink_to(target)
        return folder / file

    return make


def pipe(folder: Path, _: str) -> Path:
    os.mkfifo(folder / "bad.ckpt")
    return folder / "bad.ckpt"


def empty_folder(folder: Path, _: str) -> Path:
    (folder / "bad.ckpt").mkdir()
    return folder / "bad.ckpt"


def script(content: bytes) -> Make:
    members = {"constants.pkl": pickled(b")"), "code/__torch__.py": b"import os"}
    return lambda folder, _: archive(folder / "bad.jit", content, **members)


def nested(depth: int) -> bytes:
    inner = tensor()
    for _ in range(depth):
        inner = mapping(("a", inner))
    return inner


def laughs() -> bytes:
    """Mappings that hold the one before twice: 2^40 ways to the tensor."""
    inner = mapping(("t", tensor())) + b"r" + struct.pack("<I", 1000)
    for number in range(40):
        twice = b"j" + struct.pack("<I", 1000 + number)
        inner += b"0" + b"}(" + value("a") + twice + value("b") + twice + b"u" + b"r" + struct.pack("<I", 1001 + number)
    return inner


def double_member(folder: Path, _: str) -> Path:
    path = archive(folder / "bad.ckpt", storages={"0": FOUR, "1": FOUR})
    path.write_bytes(path.read_bytes().replace(b"archive/data/1", b"archive/data/0"))
    return path


GOOD = (("archive/data.pkl", WEIGHTS), ("archive/data/0", FOUR))
SMALL = {"weight": entry()}
VARIANTS: dict[str, Make] = {
    **{f"runs: {how}": running(how) for how in RUNNING},
    **{f"runs in an old archive: {how}": running_in_old(how) for how in RUNNING},
    "runs: constructor in a script": lambda folder, command: script(RUNNING["GLOBAL os.system"](command))(folder, ""),
    "runs: a bare pickle": lambda folder, command: raw(RUNNING["GLOBAL os.system"](command))(folder, ""),
    "runs: a pickle named safetensors": lambda folder, command: raw(
        RUNNING["GLOBAL os.system"](command), "bad.safetensors"
    )(folder, ""),
    "names torch.hub.load": beside(name("torch.hub", "load") + value(("a", "b")) + b"R"),
    "names torch.load": beside(name("torch", "load") + value(("/etc/passwd",)) + b"R"),
    "names a class that nobody knows": beside(name("evil", "Net")),
    "name with a dot": beside(name("omegaconf", "os.system") + value(("true",)) + b"R"),
    "script class in a plain checkpoint": beside(name("__torch__", "Net") + b")\x81" + mapping() + b"b"),
    "calls something that is no name": beside(value("os.system") + value(("true",)) + b"R"),
    "state for a name": beside(name("collections", "OrderedDict") + value({"a": 1}) + b"b"),
    "extension registry": beside(b"\x82\x01"),
    "opcode of protocol 0": beside(b"I1\n"),
    "protocol 9": data(pickled(mapping(("weight", tensor())), 9)),
    "persistent id outside": one(storage(key="../../../../etc/passwd")),
    "persistent id absolute": one(storage(key="/etc/passwd")),
    "persistent id of another kind": one(storage(word="module")),
    "persistent id that is text": beside(value("/etc/passwd") + b"Q"),
    "storage of another class": one(storage(kind="UntypedStorage")),
    "storage key that is a number": one(storage(key=0)),
    "storage key that is a word": one(storage(key="zero"), {"zero": FOUR}),
    "storage that is missing": one(storage(key="7")),
    "storage too short": one(storages={"0": FOUR[:-1]}),
    "storage too long": one(storages={"0": FOUR + b"\0"}),
    "storage of negative size": one(storage(items=-4)),
    "storage of endless size": one(storage(items=2**80)),
    "storage of two types": weights(("a", tensor()), ("b", tensor(storage("IntStorage")))),
    "offset behind the end": one(offset=2),
    "offset negative": one(offset=-1),
    "stride negative": one(strides=(-1,), offset=3),
    "stride zero": one(strides=(0,)),
    "stride zero, a terabyte": one(shape=(2**40,), strides=(0,)),
    "stride beyond": one(strides=(2,)),
    "shape negative": one(shape=(-4,)),
    "shape and strides of other lengths": one(shape=(2, 2)),
    "shape of text": one(shape=("4",)),
    "shape of nine dimensions": one(shape=(1,) * 9, strides=(1,) * 9),
    "shape by overlapping windows": weights(
        *((f"w{number}", tensor(storage(items=2**19), shape=(2**18, 2**18), strides=(1, 1))) for number in range(2)),
        storages={"0": bytes(2**21)},
    ),
    "offset of an enormous number": one(offset=2**70),
    "a tensor in no storage": weights(("w", tensor(value("0")))),
    "key of 10 MB": weights(("k" * 10_000_000, tensor())),
    "key that is no text": weights((7, tensor())),
    "key with terminal codes": weights(("\x1b[2J", tensor())),
    "key that is empty": weights(("", tensor())),
    "key twice": weights(("weight", tensor()), ("weight", tensor())),
    "key twice, one of them nested": weights(("a.b", tensor()), ("a", mapping(("b", tensor())))),
    "weights that are no tensors": weights(("weight", tensor()), ("more", value([1.0, 2.0]))),
    "no weights": weights(("epoch", value(3))),
    "weights 100 deep": weights(("state_dict", nested(100))),
    "mappings without an end": weights(("state_dict", mapping() + b"q\x01" + value("a") + b"h\x01s")),
    "two to the forty mappings": weights(("state_dict", laughs())),
    "lists 100,000 deep": data(pickled(b"]" * 100_000 + b"a" * 99_999)),
    "tuples 100,000 deep": data(pickled(b")" + b"\x85" * 100_000)),
    "tuples 100,000 deep as a key": data(pickled(b"}" + b")" + b"\x85" * 100_000 + b"Ns")),
    "pickle without an end": data(WEIGHTS[:-1]),
    "pickle with an empty stack": data(b"\x80\x02."),
    "pickle with bytes behind it": data(WEIGHTS + WEIGHTS),
    "pickle cut off": data(WEIGHTS[: len(WEIGHTS) // 2]),
    "pickle of noise": data(bytes(range(256)) * 8),
    "pickle that is an archive": lambda folder, _: archive(
        folder / "bad.ckpt", archive(folder / "inner.zip").read_bytes()
    ),
    "archive in an archive": lambda folder, _: zipped(
        folder / "bad.ckpt", [("archive/model.pt", archive(folder / "inner.zip").read_bytes())]
    ),
    "archive without a pickle": lambda folder, _: archive(folder / "bad.ckpt", None),
    "bomb: a compressed storage": members(
        ("archive/data.pkl", pickled(mapping(("w", tensor(storage(items=2**22), shape=(2**22,)))))),
        ("archive/data/0", bytes(2**24)),
        compression=zipfile.ZIP_DEFLATED,
    ),
    "member absolute": members(*GOOD, ("/archive/more", FOUR)),
    "member with ..": members(*GOOD, ("archive/../../more", FOUR)),
    "members in two folders": members(*GOOD, ("other/data/1", FOUR)),
    "member twice": double_member,
    "members that overlap": overlapping,
    "member with another checksum": edited(flip_a_number),
    "member encrypted": edited(encrypt),
    "big-endian": lambda folder, _: archive(folder / "bad.ckpt", byteorder=b"big"),
    "archive cut in half": edited(truncate),
    "archive without its directory": edited(lambda content: content.__delitem__(slice(-40, None))),
    "archive of a magic number alone": raw(b"PK\x03\x04"),
    "old archive: a storage of endless size": lambda folder, _: old_archive(
        folder / "bad.ckpt", pickled(mapping(("weight", tensor(storage(items=2**40)))))
    ),
    "old archive: a text of endless size": raw(pickle.dumps(FIRST_NUMBER, 2) + b"\x80\x04\x8d" + b"\xff" * 8),
    "old archive: one number": raw(pickle.dumps(FIRST_NUMBER, 2)),
    "wrong magic": raw(b"GGUF" + bytes(100)),
    "archive named safetensors": edited(lambda content: None, ".safetensors"),
    "script without a module": script(pickled(mapping(("weight", tensor())))),
    "script without weights": script(pickled(name("__torch__", "Net") + b")\x81" + mapping() + b"b")),
    "empty file": raw(b""),
    "empty safetensors": raw(b"", "bad.safetensors"),
    "folder named like a checkpoint": empty_folder,
    "link to nothing": link("/nowhere/at/all"),
    "link to a device": link("/dev/zero"),
    "link to a file of another kind": link("/etc/passwd"),
    "link to a file of another kind, safetensors": link("/etc/passwd", "bad.safetensors"),
    "pipe": pipe,
    "safetensors: header larger than the file": raw(struct.pack("<Q", 2**60) + b"{}", "bad.safetensors"),
    "safetensors: header of noise": safetensors(b"{\xff\xfe"),
    "safetensors: header of a list": safetensors([1]),
    "safetensors: header nested 100,000 deep": safetensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "safetensors: key twice": safetensors(
        b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    ),
    "safetensors: key of 10 MB": safetensors({"k" * 10_000_000: entry()}),
    "safetensors: two tensors on the same bytes": safetensors({"a": entry(), "b": entry()}),
    "safetensors: a hole": safetensors({"a": entry(), "b": entry(20, 36)}, bytes(36)),
    "safetensors: bytes behind the end": safetensors(SMALL, FOUR + b"\0"),
    "safetensors: bytes missing": safetensors(SMALL, FOUR[:-1]),
    "safetensors: shape of another size": safetensors({"a": entry(shape=(5,))}),
    "safetensors: shape negative": safetensors({"a": entry(shape=(-2, -2))}),
    "safetensors: shape of fractions": safetensors({"a": entry(shape=(4.0,))}),
    "safetensors: type of nobody": safetensors({"a": entry(dtype="F4")}),
    "safetensors: begin after end": safetensors({"a": entry(16, 0)}),
    "safetensors: no tensors": safetensors({}, b""),
}


def run_by_pickle(folder: str) -> None:
    """What an unsafe reader would do: each pickle makes a marker in the folder."""
    for number, make in enumerate(RUNNING.values()):
        with suppress(Exception):  # some fail after they have run
            pickle.loads(make(f"touch {folder}/{number}"))
