"""The bytes of a compressed video: a header, chunks of latent frames, an end. Read and written front to back.

header  magic, the length of the JSON, the JSON deflated, CRC-32 of the JSON
chunk   1 byte: 1 if a scene begins with it, else 2; how many latent frames and how many frames these are, how many
        bytes follow, these bytes, and CRC-32 of what it stands for (`check_of`)
end     1 byte: 0; the number of all frames, CRC-32 of it and of the check before

Numbers are LEB128, checks 4 bytes, the most significant first. A chunk's check is of its codes and of the check before
it, so none can be missing, twice, or another; a scene begins anew with the header's, so that a reader can begin there.
What a damaged count can make a reader do is bounded by the header: a chunk has at most `chunk` latent frames.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO, NamedTuple, get_origin, get_type_hints

import numpy as np
from torch import Tensor

from interfaces.tokens import TokenSpec
from videogen.errors import DataError

MAGIC = b"VGC1"
END, SCENE, NEXT = 0, 1, 2
BYTES_OF_A_CODE, WORD = 4, 8  # the most that a range coder can need
LARGEST_HEADER, LARGEST_CHUNK, MOST_FRAMES = 1 << 16, 1 << 12, 1 << 40
MOST_BYTES, SKIPPED = 1 << 40, 1 << 16  # of a chunk without a model, and at a time
LARGEST = {"chunk": LARGEST_CHUNK, "fps": 1000, "tokens": 1 << 24}
USUAL = json.dumps(  # what most headers hold, so that deflating leaves little of them
    {
        "chunk": 8, "depth": 6, "fps": 8.0, "height": 64,
        "made": {"device": "cpu", "kernel": "AVX512", "precision": "float32", "torch": "2.13.0", "videogen": "0.1.0"},
        "model": "0123456789abcdef", "order": "halton", "probabilities": "prior", "prompt": "", "steps": 8,
        "tokens": 64, "width": 64,
    }
).encode()  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a reader needs to know before the first chunk."""

    model: str  # fingerprint of the prior's model; that of the tokenizer without a prior
    height: int
    width: int
    fps: float
    probabilities: str  # prior, adaptive or flat
    order: str  # in which a prior codes the tokens of a latent frame, and
    steps: int  # in how many steps
    prompt: str  # what the prior is told
    tokens: int  # of a latent frame, and
    depth: int  # codes of a token: fewer than the model makes, if it was asked for fewer
    chunk: int  # the most latent frames of a chunk
    made: dict[str, str]  # with which versions, kernel and precision

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(Header).items():
            value = getattr(self, name)
            fits = isinstance(value, get_origin(kind) or kind) and not isinstance(value, bool)
            if not fits or (kind in (int, float) and not 0 < value <= LARGEST.get(name, 1 << 16)):
                raise ValueError(f"{name} is {str(value)[:60]!a}")


class ChunkCounts(NamedTuple):
    begins_scene: bool
    latent_frames: int
    frames: int
    payload: int  # bytes
    check: int


class Chunk(NamedTuple):
    begins_scene: bool
    latent_frames: int
    frames: int  # fewer than its latent frames hold only at the end of a scene
    payload: bytes
    check: int


class End(NamedTuple):
    frames: int
    check: int


class DamagedError(DataError):
    """The file is not, or not any more, what was written; what came before is right."""


class ChunkWriter:
    """Every chunk is handed to the system when it is whole."""

    def __init__(self, file: BinaryIO, header: Header):
        self.file, self.frames, self.written = file, 0, 0
        plain = json.dumps(asdict(header), sort_keys=True, ensure_ascii=False, separators=(", ", ": ")).encode()
        packed = deflate(plain)
        self.start = self.check = zlib.crc32(plain)
        self._write(MAGIC + number(len(packed)) + packed + check_bytes(self.check))

    def write(self, begins_scene: bool, codes_TNK: Tensor, frames: int, payload: bytes) -> None:
        before = self.start if begins_scene else self.check
        self.check = check_of(before, begins_scene, self.frames, frames, codes_TNK)
        counts = number(len(codes_TNK)) + number(frames) + number(len(payload))
        self._write(bytes([SCENE if begins_scene else NEXT]) + counts + payload + check_bytes(self.check))
        self.frames += frames

    def end(self) -> None:
        self._write(bytes([END]) + number(self.frames) + check_bytes(check_of_end(self.check, self.frames)))

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()
        self.written += len(data)


class ChunkReader:
    """Reads a file that may still be written: whatever is whole is given before the next byte is asked for."""

    def __init__(self, file: BinaryIO, name: str):
        self.file, self.name, self.place = file, name, 0
        if self._bytes(len(MAGIC), "its first bytes") != MAGIC:
            raise DamagedError(f"{name}: is no video of videogen compress: it does not begin with {MAGIC.decode()}")
        packed = self._bytes(self._number("bytes of a header", LARGEST_HEADER), "its header")
        check = self._check("its header")
        try:
            plain = inflate(packed, LARGEST_HEADER)
            if zlib.crc32(plain) != check:
                raise ValueError("it is damaged")
            self.header = Header(**json.loads(plain))
        except (ValueError, TypeError, RecursionError, zlib.error) as error:
            raise DamagedError(f"{name}: its header cannot be read ({error})") from None
        self.start = check

    def parts(self, spec: TokenSpec) -> Iterator[Chunk | End]:
        """Ends with an End; DamagedError if the file ends before one. `spec` is that of the latent frames."""
        while (kind := self._kind()) != END:
            latent_frames = self._number("latent frames", self.header.chunk)
            frames = self._number("frames", spec.frames_per_latent * latent_frames)
            largest = latent_frames * spec.tokens * spec.depth * BYTES_OF_A_CODE + WORD
            payload = self._bytes(self._number("bytes", largest), "a chunk")
            yield Chunk(kind == SCENE, latent_frames, frames, payload, self._check("a chunk"))
        yield self._end()

    def outline(self) -> Iterator[ChunkCounts | End]:
        """The same without codes, which are skipped: for readers that have no model."""
        while (kind := self._kind()) != END:
            latent_frames = self._number("latent frames", self.header.chunk)
            frames, payload = self._number("frames", MOST_FRAMES), self._number("bytes", MOST_BYTES)
            for first in range(0, payload, SKIPPED):
                self._bytes(min(SKIPPED, payload - first), "a chunk")
            yield ChunkCounts(kind == SCENE, latent_frames, frames, payload, self._check("a chunk"))
        yield self._end()

    def seek_scene(self, frame: int, spec: TokenSpec) -> int:
        """Goes to the last scene that begins at or before this frame, and returns the number of its first frame.

        A file that cannot be sought, such as a pipe, stays where it is.
        """
        if not self.file.seekable():
            return 0
        first, number, before = (0, self.place), 0, self.place
        try:
            for part in self.parts(spec):
                if isinstance(part, End) or number > frame:
                    break
                if part.begins_scene:
                    first = number, before
                number, before = number + part.frames, self.place
        except DamagedError:  # said when it is read: it may lie behind the frames that are asked for
            pass
        number, self.place = first
        self.file.seek(self.place)
        return number

    def damage(self, what: str) -> DamagedError:
        return DamagedError(f"{self.name}: damaged before byte {self.place}: {what}")

    def _kind(self) -> int:
        kind = self._bytes(1, "a chunk")[0]
        if kind not in (END, SCENE, NEXT):
            raise self.damage(f"no chunk begins with {kind}")
        return kind

    def _end(self) -> End:
        return End(self._number("frames", MOST_FRAMES), self._check("its end"))

    def _bytes(self, count: int, part: str) -> bytes:
        pieces, missing = [], count
        while missing > 0:
            piece = self.file.read(missing)
            if not piece:
                raise DamagedError(
                    f"{self.name}: ends at byte {self.place + count - missing}, inside {part}: it was cut off"
                )
            pieces.append(piece)
            missing -= len(piece)
        self.place += count
        return b"".join(pieces)

    def _number(self, what: str, limit: int) -> int:
        value = shift = 0
        while True:
            (byte,) = self._bytes(1, "a chunk")
            value |= (byte & 0x7F) << shift
            shift += 7
            if value > limit or shift > 63:
                raise self.damage(f"more than {limit} {what}")
            if byte < 0x80:
                return value

    def _check(self, part: str) -> int:
        return int.from_bytes(self._bytes(4, part), "big")


def check_of(before: int, begins_scene: bool, first_frame: int, frames: int, codes_TNK: Tensor) -> int:
    """The check of a chunk after one with the check `before`, whose first frame has this number."""
    facts = number(begins_scene) + number(first_frame) + number(frames) + number(len(codes_TNK))
    codes = codes_TNK.cpu().numpy().astype("<i4", order="C")
    return zlib.crc32(np.ascontiguousarray(codes).tobytes(), zlib.crc32(facts, before))


def check_of_end(before: int, frames: int) -> int:
    return zlib.crc32(number(frames), before)


def check_bytes(check: int) -> bytes:
    return check.to_bytes(4, "big")


def number(value: int) -> bytes:
    """LEB128."""
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | 0x80 * (value > 0))
        if not value:
            return bytes(groups)


def deflate(plain: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15, zdict=USUAL)
    return packer.compress(plain) + packer.flush()


def inflate(packed: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=-15, zdict=USUAL)
    plain = unpacker.decompress(packed, limit)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("it is damaged")
    return plain
