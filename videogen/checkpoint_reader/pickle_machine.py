"""A pickle as data: its opcodes work on a stack of plain values, and nothing that it names is made or called."""

import pickletools
from collections.abc import Iterator
from typing import Any

from videogen.checkpoint_reader.pickle_names import Made, Name, NamePolicy, TensorRef
from videogen.checkpoint_reader.refusal import Refused

VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
KEYS = str | int | float | bytes | None | Name  # hashing them needs no deep recursion


def read_pickle(raw: bytes, policy: NamePolicy) -> Any:
    """The value that the pickle describes; Refused for one that is damaged or names what the policy does not know."""
    machine = PickleMachine(policy)
    place = 0
    try:
        for opcode, argument, position in pickletools.genops(raw):
            place = position or 0
            if opcode.name == "STOP":
                if place + 1 != len(raw):
                    raise Refused(f"its pickle ends at byte {place + 1:,} of {len(raw):,}")
                return machine.result()
            machine.follow(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError):
        pass
    raise Refused(f"its pickle is damaged at byte {place:,}")


class PickleMachine:
    def __init__(self, policy: NamePolicy):
        self.policy = policy
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if self.outer or len(self.stack) != 1:
            raise ValueError
        return self.stack[0]

    def follow(self, name: str, argument: Any) -> None:
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self._push_tuple(TUPLES[name])
        elif (step := getattr(self, f"_{name.lower()}", None)) is not None:
            step(argument)
        else:
            raise Refused(f"its pickle has the opcode {name}, which torch.save does not write")

    # Each method below is the opcode of its name.

    def _proto(self, version: int) -> None:
        if not 2 <= version <= 5:
            raise Refused(f"its pickle has protocol {version}")

    def _frame(self, length: int) -> None:
        pass

    def _mark(self, _: None) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def _pop(self, _: None) -> None:
        self.stack.pop()

    def _pop_mark(self, _: None) -> None:
        self._since_mark()

    def _binput(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _long_binput = _binput

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _long_binget = _binget

    def _empty_list(self, _: None) -> None:
        self.stack.append([])

    _empty_set = _empty_list

    def _empty_dict(self, _: None) -> None:
        self.stack.append({})

    def _tuple(self, _: None) -> None:
        items = self._since_mark()
        self.stack.append(tuple(items))

    _frozenset = _tuple

    def _list(self, _: None) -> None:
        items = self._since_mark()
        self.stack.append(items)

    def _append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: None) -> None:
        self._extend(self._since_mark())

    _additems = _appends

    def _dict(self, _: None) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._update(items)

    def _setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _setitems(self, _: None) -> None:
        self._update(self._since_mark())

    def _global(self, text: str) -> None:
        module, name = text.split(" ", 1)
        self.stack.append(self.policy.name(module, name))

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("its pickle names something that is no text")
        self.stack.append(self.policy.name(module, name))

    def _reduce(self, _: None) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        self.stack.append(self.policy.made(name, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: None) -> None:
        self.stack.pop()  # arguments by name
        self._reduce(None)

    def _build(self, _: None) -> None:
        state, owner = self.stack.pop(), self.stack[-1]
        if isinstance(owner, Made):
            owner.state = state
        elif not isinstance(owner, dict | TensorRef):  # of an OrderedDict the `_metadata`, of a tensor its attributes
            raise Refused("its pickle gives a state to something that has none")

    def _binpersid(self, _: None) -> None:
        self.stack.append(self.policy.storage(self.stack.pop()))

    def _push_tuple(self, length: int) -> None:
        items = self.stack[-length:]
        if len(items) < length:
            raise IndexError
        self.stack[-length:] = [tuple(items)]

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def _extend(self, items: list[Any]) -> None:
        owner = self.stack[-1]
        if isinstance(owner, list):
            owner.extend(items)
        elif not isinstance(owner, Made):
            raise TypeError

    def _update(self, items: list[Any]) -> None:
        owner = self.stack[-1]
        for key, value in _pairs(items):
            if isinstance(owner, dict):
                if key in owner:
                    raise Refused(f"its pickle has the key {str(key)[:60]!a} twice")
                owner[key] = value
            elif not isinstance(owner, Made):
                raise TypeError


def _pairs(items: list[Any]) -> Iterator[tuple[Any, Any]]:
    if len(items) % 2:
        raise ValueError
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, KEYS) and not (isinstance(key, tuple) and all(isinstance(each, KEYS) for each in key)):
            raise Refused(f"its pickle has a key of type {type(key).__name__}")
        yield key, value
