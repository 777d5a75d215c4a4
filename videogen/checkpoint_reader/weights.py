"""The weights among the data of a pickle: names, and where their numbers are."""

from collections.abc import Iterator
from typing import Any

from videogen.checkpoint_reader.pickle_names import Made, TensorRef
from videogen.checkpoint_reader.refusal import DEEPEST, MOST_TENSORS, Refused, check_name

WRAPPERS = ("state_dict", "model")  # where training frameworks put the weights, the first that is there
MOST_VISITS = 200_000  # a value that is reached in two ways is visited twice


def find_weights(root: Any, script: bool) -> dict[str, TensorRef]:
    """The tensors of a module, or those of a mapping, which may hold nothing else."""
    found: dict[str, TensorRef] = {}
    for name, tensor in _walk(_module(root) if script else _mapping(root), script):
        if check_name(name) in found:
            raise Refused(f"the tensor {name!a} is there twice")
        if len(found) == MOST_TENSORS:
            raise Refused(f"it holds more than {MOST_TENSORS:,} tensors")
        found[name] = tensor
    if not found:
        raise Refused("it holds no weights by name" + (" (a frozen archive?)" if script else ""))
    return found


def _module(root: Any) -> Any:
    if not isinstance(root, Made):
        raise Refused("its data.pkl holds no module")
    return root


def _mapping(root: Any) -> dict[Any, Any]:
    if not isinstance(root, dict):
        what = str(root.name) if isinstance(root, Made) else type(root).__name__
        raise Refused(f"it holds {what[:100]!a} instead of weights by name")
    if any(isinstance(value, TensorRef) for value in root.values()):
        return root
    for wrapper in WRAPPERS:
        if isinstance(inside := root.get(wrapper), dict):
            return inside
    shown = ", ".join(ascii(str(key)[:30]) for key in list(root)[:5])
    raise Refused(f"it holds no weights: no tensors and no {' or '.join(WRAPPERS)}, but {shown or 'nothing'}")


def _walk(root: Any, script: bool) -> Iterator[tuple[str, TensorRef]]:
    """(name, tensor) in the order of the pickle; other attributes of modules are passed over."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    visits = 0
    while waiting:
        path, value = waiting.pop()
        visits += 1
        if visits > MOST_VISITS or len(path) > DEEPEST:
            raise Refused(f"its weights are nested more than {DEEPEST} deep, or without an end")
        if isinstance(value, TensorRef):
            yield ".".join(path), value
        elif (inside := _children(value, script)) is not None:
            waiting += [((*path, check_name(key)), child) for key, child in reversed(inside)]
        elif not script:
            raise Refused(f"{'.'.join(path)!a} is no tensor of plain numbers, but {_kind(value)}")


def _children(value: Any, script: bool) -> list[tuple[Any, Any]] | None:
    if script and isinstance(value, Made):
        return list(value.state.items()) if isinstance(value.state, dict) else []
    if script and isinstance(value, dict):
        return [(str(key), child) for key, child in value.items()]
    if script and isinstance(value, list | tuple):
        return [(str(number), child) for number, child in enumerate(value)]
    return list(value.items()) if isinstance(value, dict) else None


def _kind(value: Any) -> str:
    return ascii(str(value.name)[:100]) if isinstance(value, Made) else type(value).__name__
