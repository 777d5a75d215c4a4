"""The zip file that torch.save and TorchScript write, read in place: nothing is unpacked, no path of it is followed."""

import mmap
import struct
import zipfile
import zlib
from typing import Any, BinaryIO, cast

from videogen.checkpoint_reader.pickle_machine import read_pickle
from videogen.checkpoint_reader.pickle_names import NamePolicy
from videogen.checkpoint_reader.refusal import LARGEST_PICKLE, Refused

MOST_MEMBERS = 200_000
LARGEST_TEXT = 64  # of the members `version` and `byteorder`
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
ENCRYPTED = 1  # the bit of a member's flags


class Archive:
    """Members below the one folder of the archive, by their names there."""

    def __init__(self, mapped: mmap.mmap):
        self.size, self.mapped = len(mapped), memoryview(mapped)
        try:
            members = zipfile.ZipFile(cast(BinaryIO, mapped)).infolist()  # it reads, seeks and tells like a file
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, UnicodeError, OSError) as error:
            raise Refused(f"it is no whole zip archive ({str(error)[:100]})") from None
        self.members = _by_name(members)
        self._check_places()
        if "byteorder" in self.members and bytes(self.read("byteorder", LARGEST_TEXT)) != b"little":
            raise Refused("its numbers are big-endian")

    @property
    def is_script(self) -> bool:
        """Whether TorchScript wrote it. Its code is never read."""
        return "constants.pkl" in self.members or any(name.startswith("code/") for name in self.members)

    def root(self) -> Any:
        """What was saved, as plain data."""
        if "data.pkl" not in self.members:
            raise Refused("it is a zip archive without a data.pkl, so no checkpoint of torch")
        return read_pickle(bytes(self.read("data.pkl", LARGEST_PICKLE)), NamePolicy(self.is_script))

    def storage(self, key: str, size: int) -> memoryview:
        """The bytes of one storage; Refused unless it has this size."""
        found = self.read(f"data/{key}", self.size)
        if len(found) != size:
            raise Refused(f"the storage {key} has {len(found):,} bytes; its tensors need {size:,}")
        return found

    def read(self, name: str, limit: int) -> memoryview:
        if (member := self.members.get(name)) is None:
            raise Refused(f"its member {name} is missing")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Refused(f"its member {name} is compressed, which torch does not do; save the checkpoint again")
        if member.flag_bits & ENCRYPTED:
            raise Refused(f"its member {name} is encrypted")
        if member.file_size > limit:
            raise Refused(f"its member {name} has {member.file_size:,} bytes; at most {limit:,} are read")
        start = self._start(member)
        found = self.mapped[start : start + member.file_size]
        if zlib.crc32(found) != member.CRC:
            raise Refused(f"its member {name} is damaged (its checksum differs)")
        return found

    def _start(self, member: zipfile.ZipInfo) -> int:
        begin = member.header_offset + LOCAL_HEADER.size
        raw = bytes(self.mapped[member.header_offset : begin])
        name_length, extra_length = LOCAL_HEADER.unpack(raw)[-2:] if len(raw) == LOCAL_HEADER.size else (0, 0)
        start: int = begin + name_length + extra_length
        if not raw.startswith(b"PK\x03\x04") or start + member.compress_size > self.size:
            raise Refused(f"its member {member.filename[:60]!a} is not where the archive says")
        return start

    def _check_places(self) -> None:
        """Members that share bytes make a small file look large."""
        end = 0
        for member in sorted(self.members.values(), key=lambda each: each.header_offset):
            if member.header_offset < end:
                raise Refused(f"its member {member.filename[:60]!a} overlaps another one")
            end = self._start(member) + member.compress_size


def _by_name(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members by their names without the one folder that all of them are in."""
    if len(members) > MOST_MEMBERS:
        raise Refused(f"it has {len(members):,} members; at most {MOST_MEMBERS:,} are read")
    found: dict[str, zipfile.ZipInfo] = {}
    folders = set()
    for member in members:
        folder, _, name = member.orig_filename.partition("/")
        parts = member.orig_filename.split("/")
        if not folder or not name or ".." in parts or "\\" in name or "\0" in name or ":" in folder:
            raise Refused(f"it has a member named {member.orig_filename[:60]!a}")
        folders.add(folder)
        if name in found:
            raise Refused(f"it has two members named {name[:60]!a}")
        found[name] = member
    if len(folders) > 1:
        raise Refused(f"its members are in {len(folders)} folders, such as {', '.join(sorted(folders)[:2])[:60]!a}")
    return found
