"""A remote object that reads like a file: blocks from the cache, and by ranges where it has none."""

import hashlib
import io
import json
import os
from collections import OrderedDict

from videogen.errors import DataError
from videogen.storage.access import ObjectStat, look_at, read_range, with_retries
from videogen.storage.cache import BlockCache
from videogen.storage.errors import ChangedObjectError

BLOCK = 4 * 2**20
IN_MEMORY = 4  # blocks of an open file: a demuxer goes back and forth between header and frames


class RemoteFile(io.RawIOBase):
    """The bytes of one version of an object. `failure` is the last error, which a decoder may have hidden."""

    def __init__(self, url: str, stat: ObjectStat, cache: BlockCache | None = None) -> None:
        self.url, self.stat, self.failure = url, stat, None
        self._cache = BlockCache() if cache is None else cache
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0

    failure: DataError | None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.stat.size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        number, start = divmod(self._position, BLOCK)
        if self._position >= self.stat.size or not len(buffer):
            return 0
        try:
            piece = memoryview(self._block(number))[start : start + len(buffer)]
        except DataError as error:
            self.failure = error
            raise
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._blocks[number] = self._cached(number)
            if len(self._blocks) > IN_MEMORY:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _cached(self, number: int) -> bytes:
        start, end = number * BLOCK, min((number + 1) * BLOCK, self.stat.size)
        known = [self.url, self.stat.size, self.stat.version, BLOCK, number]
        key = hashlib.sha256(json.dumps(known).encode()).hexdigest()
        block = self._cache.get(key)
        if block is None or len(block) != end - start:
            block = with_retries(self.url, lambda: self._fetch(start, end))
            self._cache.put(key, block)
        return block

    def _fetch(self, start: int, end: int) -> bytes:
        """Bytes of the object, which must still be the known one after that; ConnectionError if some are missing."""
        failure: Exception | None = None
        data = b""
        try:
            data = read_range(self.url, start, end)
        except Exception as error:
            failure = error
        if look_at(self.url) != self.stat:
            raise ChangedObjectError(f"{self.url}: changed since it was indexed; index the set again")
        if failure is not None:
            raise failure
        if len(data) == self.stat.size > end - start:
            raise DataError(f"{self.url}: the server does not answer ranges; download the set")
        if len(data) != end - start:
            raise ConnectionError(f"{len(data)} of {end - start} bytes came")
        return data
