"""Messages between the web process and its child processes, and their form on a socket.

A message is a line of JSON and, for frames, bytes after it. Nothing that arrives is executed: it is only data.
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

from videogen.control_plan import ControlPlan
from videogen.serve.requests import GenerationParams, Transition

LENGTHS = struct.Struct(">II")  # of the JSON, and of the bytes after it
MAX_JSON_BYTES = 2**20
RECV_BYTES = 2**20


@dataclass(frozen=True)
class StartStream:
    """Make a stream when its first turn comes."""

    id: str
    params: GenerationParams  # seed and frames are set
    ahead_seconds: float | None  # video time that it may run ahead of real time; None: as fast as possible
    payload: bytes = field(default=b"", repr=False)  # pixels of the initial frames
    request_id: str = ""  # for the log

    def __post_init__(self) -> None:
        if isinstance(self.params, Mapping):  # as it arrives
            object.__setattr__(self, "params", GenerationParams.from_json(self.params, self.payload))


@dataclass(frozen=True)
class ChangeStream:
    """Applies from the next latent frame on; None changes nothing."""

    id: str
    prompt: str | None = None
    transition: Transition | None = None
    paused: bool | None = None
    masks: bool | None = None  # send MaskUpdates
    control: ControlPlan | None = None  # of the next latent frames


@dataclass(frozen=True)
class Ack:
    """The web process has taken in this many frames of a stream; the stream may run a few ahead of that."""

    id: str
    frames: int


@dataclass(frozen=True)
class StopStream:
    id: str


@dataclass(frozen=True)
class Ready:
    """The model is loaded, and has made a few frames."""

    info: Mapping[str, Any]  # the fields of ModelInfo


@dataclass(frozen=True)
class LoadFailed:
    """The model cannot be loaded; the process ends."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class MaskUpdate:
    """Which tokens of the latent frame in the making are decided; of several groups, in the last one."""

    id: str
    frame: int  # number of the first frame that it will become
    height: int
    width: int
    payload: bytes = field(default=b"", repr=False)  # 0 or 1 for each token, row by row


@dataclass(frozen=True)
class FrameBatch:
    """The frames of a stream's next latent frame, and what they cost."""

    id: str
    first: int  # number of the first frame
    count: int
    prompt: str
    new_prompt: bool  # whether this is the first latent frame with this prompt
    truncated: bool  # whether the model reads only the beginning of a new prompt
    latent_frames: int  # 0 for an initial image
    steps: int  # of sampling
    prior_seconds: float
    decoder_seconds: float
    seconds: float  # since the latent frame could have been started, other streams' work included
    payload: bytes = field(default=b"", repr=False)  # uint8 [count, H, W, 3]
    note: str = ""  # about the initial frames; only with the first frame
    control: Any = None  # of the latent frame


@dataclass(frozen=True)
class StreamEnded:
    """A stream has all its frames, or has failed."""

    id: str
    error: str | None = None


@dataclass(frozen=True)
class UploadRead:
    """An upload at the model's frame size and rate."""

    count: int
    note: str
    payload: bytes = field(default=b"", repr=False)  # uint8 [count, H, W, 3]


@dataclass(frozen=True)
class UploadRejected:
    """An upload that cannot be used."""

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
MESSAGE_TYPES: Mapping[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}


def pack(message: Message) -> bytes:
    payload: bytes = getattr(message, "payload", b"")
    values = {part.name: getattr(message, part.name) for part in fields(message) if part.name != "payload"}
    if isinstance(message, StartStream):
        values["params"] = message.params.to_json()
    header = json.dumps([type(message).__name__, values]).encode()
    return LENGTHS.pack(len(header), len(payload)) + header + payload


def unpack(header: bytes, payload: bytes) -> Message:
    """ValueError if the bytes are not a message."""
    try:
        kind, values = json.loads(header)
        message: Message = MESSAGE_TYPES[kind](**(values | {"payload": payload} if payload else values))
        return message
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message ({error})") from None


async def receive(reader: StreamReader, max_payload: int) -> Message:
    """IncompleteReadError at the end, ValueError for what is not a message or is too large."""
    head, tail = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    if head > MAX_JSON_BYTES or tail > max_payload:
        raise ValueError(f"a message has {head} and {tail} bytes; the limits are {MAX_JSON_BYTES} and {max_payload}")
    return unpack(await reader.readexactly(head), await reader.readexactly(tail))


class MessageSocket:
    """The blocking end of the socket, in a child process."""

    def __init__(self, connection: socket.socket):
        self.connection, self._poll = connection, select.poll()  # select() fails for high descriptors
        self._poll.register(connection, select.POLLIN)

    def send(self, message: Message) -> None:
        self.connection.sendall(pack(message))

    def receive(self) -> Message:
        """Wait for a message; EOFError when the other end is closed."""
        head, tail = LENGTHS.unpack(self._exactly(LENGTHS.size))
        return unpack(self._exactly(head), self._exactly(tail))

    def poll(self, seconds: float | None) -> bool:
        """Whether a message arrives within this time; None waits for one."""
        return bool(self._poll.poll(None if seconds is None else math.ceil(1000 * seconds)))

    def _exactly(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            part = self.connection.recv(min(missing, RECV_BYTES))
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)
