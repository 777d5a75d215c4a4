"""The names that a pickle may hold, and what is made of them here. None of them is imported, none is called."""

import re
from dataclasses import dataclass, field
from typing import Any

from videogen.checkpoint_reader.refusal import MOST_DIMENSIONS, Refused

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
_TYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool double float half long int complex64"
_BUILTINS = "set frozenset dict list tuple int float bool str bytes bytearray complex slice range object"
KNOWN = {
    "torch": {*STORAGES, *_TYPES.split(), "Size", "device", "Tensor"},
    "torch._utils": {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_parameter_with_state"},
    "torch._tensor": {"_rebuild_from_type_v2"},
    "torch.nn.parameter": {"Parameter", "Buffer"},
    "torch.serialization": {"_get_layout"},
    "builtins": set(_BUILTINS.split()),
    "collections": {"OrderedDict", "defaultdict", "Counter", "deque"},
    "argparse": {"Namespace"},
    "types": {"SimpleNamespace"},
    "typing": {"Any"},
    "datetime": {"datetime", "timedelta", "date"},
    "pathlib": {"PosixPath", "WindowsPath", "PurePosixPath"},
    "copyreg": {"_reconstructor"},
    "_codecs": {"encode"},
    "numpy": {"dtype", "ndarray"},
    "numpy.core.multiarray": {"scalar", "_reconstruct"},
    "numpy._core.multiarray": {"scalar", "_reconstruct"},
}
SETTINGS = ("omegaconf", "lightning", "lightning_fabric", "pytorch_lightning", "torch.optim")  # around the weights
SCRIPT = ("__torch__", "torch.jit._pickle")  # the classes of a TorchScript archive, and its typed lists
PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as pickle writes them below protocol 3
LARGEST_COUNT = 2**50


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle refers to."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object that is not made: its class, and its state if it has one."""

    name: Name
    state: Any = None


@dataclass(frozen=True)
class StorageRef:
    """The numbers of tensors: a member of the archive."""

    dtype: str
    key: str
    items: int


@dataclass(frozen=True)
class TensorRef:
    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class NamePolicy:
    """Which names may be there; a TorchScript archive holds classes of its own."""

    script: bool
    storages: dict[str, StorageRef] = field(default_factory=dict)

    def name(self, module: str, name: str) -> Name:
        module = PYTHON_2.get(module, module)
        if name in KNOWN.get(module, ()) or self._is_around(module, name):
            return Name(module, name)
        raise Refused(f"its pickle names {f'{module}.{name}'[:100]!a}, which weights do not need")

    def _is_around(self, module: str, name: str) -> bool:
        parents = SETTINGS + SCRIPT if self.script else SETTINGS
        inside = any(module == parent or module.startswith(f"{parent}.") for parent in parents)
        return inside and name.isidentifier()

    def storage(self, persistent_id: Any) -> StorageRef:
        """('storage', its class, the name of its member, the device that it was on, how many numbers).

        torch before version 1.6 puts a sixth value behind them: None, or that the storage is a part of another one.
        """
        if isinstance(persistent_id, tuple) and len(persistent_id) == 6 and persistent_id[5] is None:
            persistent_id = persistent_id[:5]
        match persistent_id:
            case ("storage", Name("torch", kind), str(key), str(), int(items)) if kind in STORAGES:
                pass
            case _:
                raise Refused("its pickle refers to something that is no storage of plain numbers")
        if not re.fullmatch("[0-9]{1,20}", key) or not 0 <= items < LARGEST_COUNT:
            raise Refused(f"its pickle refers to the storage {key[:60]!a} of {items} numbers")
        found = StorageRef(STORAGES[kind], key, items)
        if self.storages.setdefault(key, found) != found:
            raise Refused(f"the storage {key} is of two types or sizes")
        return found

    def made(self, name: Any, arguments: Any) -> Any:
        """What a call would return: data for the few names that build data, else an object that is not made."""
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise Refused("its pickle calls something that is no name")
        match str(name):
            case "collections.OrderedDict":
                return _entries(arguments)
            case "collections.defaultdict":
                return {}  # its entries follow
            case "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2":
                return _tensor(arguments)
            case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state":
                return arguments[0]
            case "torch._tensor._rebuild_from_type_v2":
                return self.made(arguments[0], arguments[2]) if arguments[0] != name else Made(name)
        if name.module == "torch.jit._pickle" and arguments:
            return arguments[0]  # a typed list or a type tag: the value comes first
        return Made(name)


def _entries(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Empty where the entries follow; Python 2 gives them as a list of pairs."""
    match arguments:
        case ():
            return {}
        case (list(pairs),) if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            names = [name for name, _ in pairs]
            if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
                return dict(pairs)
    raise Refused("its pickle builds a mapping from something that is no list of different names and their values")


def _tensor(arguments: tuple[Any, ...]) -> TensorRef:
    match arguments:
        case (StorageRef() as storage, int(offset), tuple(shape), tuple(strides), *_) if len(shape) == len(strides):
            pass
        case _:
            raise Refused("its pickle builds a tensor from something that is no storage, offset, shape and strides")
    numbers = (offset, *shape, *strides)
    if len(shape) > MOST_DIMENSIONS or not all(type(each) is int and 0 <= each < LARGEST_COUNT for each in numbers):
        raise Refused(f"a tensor has the offset, shape or strides {str((offset, shape, strides))[:100]}")
    if any(stride == 0 and size > 1 for size, stride in zip(shape, strides, strict=True)):
        raise Refused(f"a tensor of shape {shape} repeats its numbers (a stride of 0)")
    reach = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
    if 0 not in shape and reach > storage.items:
        raise Refused(f"a tensor of shape {shape} reaches to {reach:,} in a storage of {storage.items:,} numbers")
    return TensorRef(storage, offset, shape, strides)
