"""The file that torch.save wrote before version 1.6: five pickles, then the storages one after the other.

The pickles are a number, a version, facts about the machine, the weights, and the keys of the storages in their order.
Each storage is its number of items, in 8 bytes, and then the items.
"""

import mmap
import pickletools
import struct
from typing import Any, BinaryIO, cast

from videogen.checkpoint_reader.pickle_machine import read_pickle
from videogen.checkpoint_reader.pickle_names import ITEM_BYTES, NamePolicy
from videogen.checkpoint_reader.refusal import LARGEST_PICKLE, Refused

FIRST_NUMBER, VERSION = 0x1950A86A20F9469CFC6C, 1001
COUNT = struct.Struct("<q")


class OldArchive:
    is_script = False

    def __init__(self, mapped: mmap.mmap):
        self.size, self.mapped = len(mapped), memoryview(mapped)
        end = _end_of_pickle(mapped, 0)
        if read_pickle(bytes(self.mapped[:end]), NamePolicy(False)) != FIRST_NUMBER:
            raise Refused("it is a bare pickle, but not one of torch.save")
        self.pickles = []
        for _ in range(4):
            begin, end = end, _end_of_pickle(mapped, end)
            self.pickles.append(bytes(self.mapped[begin:end]))
        self.end, self.storages = end, dict[str, memoryview]()

    def root(self) -> Any:
        """What was saved; the storages that it refers to are found on the way."""
        version, machine, root, keys = self.pickles
        if read_pickle(version, NamePolicy(False)) != VERSION:
            raise Refused("its format is not that of torch before version 1.6")
        facts = read_pickle(machine, NamePolicy(False))
        if not isinstance(facts, dict) or facts.get("little_endian") is not True:
            raise Refused("its numbers are big-endian")
        policy = NamePolicy(False)
        found = read_pickle(root, policy)
        self.storages = self._storages(read_pickle(keys, NamePolicy(False)), policy)
        return found

    def storage(self, key: str, size: int) -> memoryview:
        found = self.storages[key]
        assert len(found) == size, "both are counted from the same reference"
        return found

    def _storages(self, keys: Any, policy: NamePolicy) -> dict[str, memoryview]:
        """Each storage in its place; Refused unless they are those that tensors refer to, and fill the file."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Refused("its list of storages is damaged")
        if sorted(keys) != sorted(policy.storages):
            raise Refused("its storages are not those that its tensors refer to")
        place, found = self.end, {}
        for key in keys:
            items, width = policy.storages[key].items, ITEM_BYTES[policy.storages[key].dtype]
            begin = place + COUNT.size
            place = begin + items * width
            if place > self.size:
                raise Refused(f"it ends within the storage {key}")
            if COUNT.unpack(self.mapped[begin - COUNT.size : begin])[0] != items:
                raise Refused(f"the storage {key} has another size than its tensors say")
            found[key] = self.mapped[begin:place]
        if place != self.size:
            raise Refused(f"its storages end at byte {place:,} of {self.size:,}")
        return found


def _end_of_pickle(mapped: mmap.mmap, begin: int) -> int:
    mapped.seek(begin)
    try:
        for opcode, _, place in pickletools.genops(cast(BinaryIO, mapped)):
            if place is not None and place - begin > LARGEST_PICKLE:
                raise Refused(f"it has a pickle of more than {LARGEST_PICKLE:,} bytes")
            if opcode.name == "STOP":
                return mapped.tell()
    except (ValueError, IndexError, UnicodeError):
        pass
    raise Refused(f"its pickle at byte {begin:,} is damaged")
