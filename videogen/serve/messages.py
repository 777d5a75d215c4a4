"""What the web process and the processes behind it say to each other, and how it travels over a socket.

A message is a line of JSON and, where there are pictures, bytes after it: nothing that arrives can be more than data.
"""

import json
import math
import select
import socket
import struct
from asyncio import StreamReader
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, get_args

LENGTHS = struct.Struct(">II")  # of the JSON, and of the bytes after it
LONGEST_JSON = 2**20


@dataclass(frozen=True)
class StartStream:
    """A stream is to be made, from its first turn on; it is known by its id from now on."""

    id: str
    prompt: str
    negative_prompt: str | None
    seed: int
    sampling: Mapping[str, Any]  # settings of SamplerConfig that differ from the model's own
    transition: str
    frames: int  # pictures after which it ends
    ahead: float | None  # seconds of video that it may be ahead of real time; None: as fast as it can be made
    initial_kind: str | None  # "video" or "image" that the payload holds
    initial_count: int  # frames in the payload
    payload: bytes = field(default=b"", repr=False)  # uint8 [count, H, W, 3]
    infer_prompt: bool = False  # what they show, in the model's words


@dataclass(frozen=True)
class ChangeStream:
    """From the next latent frame on; what is None stays."""

    id: str
    prompt: str | None = None
    transition: str | None = None
    paused: bool | None = None
    masks: bool | None = None  # whether anybody wants to see how latent frames are filled in


@dataclass(frozen=True)
class Ack:
    """So many pictures of a stream have been taken in; it may go on by a few more than that."""

    id: str
    pictures: int


@dataclass(frozen=True)
class StopStream:
    id: str


@dataclass(frozen=True)
class Ready:
    """The model is loaded and has answered once."""

    info: Mapping[str, Any]


@dataclass(frozen=True)
class LoadFailed:
    """The model cannot be loaded; the process ends."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class MaskUpdate:
    """Which tokens of the latent frame in the making are decided."""

    id: str
    picture: int  # number of the first picture that it will become
    height: int
    width: int
    payload: bytes = field(default=b"", repr=False)  # 0 or 1 for each token, row by row


@dataclass(frozen=True)
class FrameBatch:
    """A latent frame of a stream has been made."""

    id: str
    first: int  # number of its first picture
    count: int
    prompt: str  # under which it was made
    turned: bool  # whether it is the first under that prompt
    cut_short: bool  # and the model reads that prompt without its end
    latent_frames: int  # 0 for a picture that the stream was given to begin with
    proposals: int
    prior: float  # seconds
    decoder: float
    seconds: float  # by the clock since it could have been begun, with the work on other streams meanwhile
    payload: bytes = field(default=b"", repr=False)  # uint8 [count, H, W, 3]
    note: str = ""  # about what the stream was given to begin with; only with its first picture


@dataclass(frozen=True)
class StreamEnded:
    """A stream has all its pictures, or cannot go on."""

    id: str
    error: str | None = None


@dataclass(frozen=True)
class UploadRead:
    """An upload as the model sees it."""

    count: int
    note: str
    payload: bytes = field(default=b"", repr=False)  # uint8 [count, H, W, 3]


@dataclass(frozen=True)
class UploadRejected:
    """An upload that cannot be used, in one line."""

    message: str


Message: TypeAlias = (
    StartStream
    | ChangeStream
    | Ack
    | StopStream
    | Ready
    | LoadFailed
    | MaskUpdate
    | FrameBatch
    | StreamEnded
    | UploadRead
    | UploadRejected
)
KINDS: Mapping[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}


def pack(message: Message) -> bytes:
    """Its bytes on the way."""
    payload: bytes = getattr(message, "payload", b"")
    plain = {part.name: getattr(message, part.name) for part in fields(message) if part.name != "payload"}
    header = json.dumps([type(message).__name__, plain]).encode()
    return LENGTHS.pack(len(header), len(payload)) + header + payload


def unpack(header: bytes, payload: bytes) -> Message:
    """The message that was packed; ValueError if it is none."""
    try:
        kind, values = json.loads(header)
        made: Message = KINDS[kind](**(values | {"payload": payload} if payload else values))
        return made
    except (KeyError, TypeError) as error:
        raise ValueError(f"no message of ours ({error})") from None


async def receive(reader: StreamReader, largest: int) -> Message:
    """The next message; EOFError where there is none any more, ValueError if it is none or larger than expected."""
    head, tail = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    if head > LONGEST_JSON or tail > largest:
        raise ValueError(f"a message of {head} and {tail} bytes, where {largest} are expected at most")
    return unpack(await reader.readexactly(head), await reader.readexactly(tail))


class MessageSocket:
    """The same from the other end, in a process that does one thing at a time."""

    def __init__(self, connection: socket.socket):
        self.connection, self._poll = connection, select.poll()  # of any descriptor, however high its number
        self._poll.register(connection, select.POLLIN)

    def send(self, message: Message) -> None:
        self.connection.sendall(pack(message))

    def receive(self) -> Message:
        """Waits for it; EOFError when the other end is gone."""
        head, tail = LENGTHS.unpack(self._exactly(LENGTHS.size))
        return unpack(self._exactly(head), self._exactly(tail))

    def waits(self, seconds: float | None) -> bool:
        """Whether a message is there within so many seconds; None is for as long as it takes."""
        return bool(self._poll.poll(None if seconds is None else math.ceil(1000 * seconds)))

    def _exactly(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            part = self.connection.recv(min(missing, 2**20))
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
