import asyncio
import socket
import threading

import pytest

from videogen.serve.messages import (
    LENGTHS,
    Ack,
    ChangeStream,
    FrameBatch,
    LoadFailed,
    MaskUpdate,
    MessageSocket,
    Ready,
    StartStream,
    StopStream,
    StreamEnded,
    UploadRead,
    UploadRejected,
    pack,
    receive,
    unpack,
)
from videogen.serve.requests import GenerationParams, InitialFrames

CONTINUED = GenerationParams(
    "a ring", None, 2**62, 9, {"steps": 3}, "cut", InitialFrames("image", b"\0\1\2", 1, "cropped"), True
)
MESSAGES = [
    StartStream("1", CONTINUED, 1.0, CONTINUED.initial_frames.pixels),
    StartStream("2", GenerationParams("\u2603 \"'\n", "no", 0, 1), None),
    ChangeStream("1", paused=True),
    Ack("1", 7),
    StopStream("1"),
    Ready({"fps": 8.0}),
    LoadFailed("no", 4),
    MaskUpdate("1", 5, 2, 3, bytes(6)),
    FrameBatch("1", 5, 4, "x", True, False, 1, 6, 0.25, 0.5, 1.5, bytes(range(256)) * 1000),
    StreamEnded("1", "broken"),
    UploadRead(2, "note", b"abc"),
    UploadRejected("no"),
]


def test_messages_survive_the_socket_in_both_directions():
    async def scene():
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        with theirs:
            wire = MessageSocket(theirs)
            speaking = threading.Thread(target=lambda: [wire.send(message) for message in MESSAGES])
            speaking.start()
            assert [await receive(reader, 2**20) for _ in MESSAGES] == MESSAGES
            speaking.join()
            assert not wire.poll(0.0)
            writer.writelines(map(pack, MESSAGES[:4]))
            await writer.drain()
            assert wire.poll(None)
            assert [wire.receive() for _ in MESSAGES[:4]] == MESSAGES[:4]
            writer.close()
            await writer.wait_closed()
            with pytest.raises(EOFError):
                wire.receive()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[1, 2]",
        b'["StopStream", {}]',
        b'["StopStream", {"id": "1", "x": 2}]',
        b'["StartStream", {"id": "1", "params": {}, "ahead_seconds": 1}]',
        b'["StartStream", {"id": "1", "params": {"prompt": "x", "initial_frames": 3}, "ahead_seconds": 1}]',
        b'["x", {}]',
    ],
)
def test_invalid_message_is_refused(header):
    with pytest.raises(ValueError):
        unpack(header, b"")


@pytest.mark.parametrize(("head", "tail"), [(2**21, 0), (10, 2**20), (2**32 - 1, 2**32 - 1)])
def test_too_large_lengths_are_refused_before_reading(head, tail):
    async def scene():
        reader = asyncio.StreamReader()
        reader.feed_data(LENGTHS.pack(head, tail))
        with pytest.raises(ValueError):
            await receive(reader, 1000)

    asyncio.run(scene())
