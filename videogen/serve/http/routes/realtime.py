"""/v1/realtime/video: a stream over one WebSocket, in the messages that servers of live video have agreed upon.

From the client: session.start, session.interaction, session.ping, session.stop. To it: video.start, and for each piece
of the film video.chunk_metadata followed by the piece itself; session.interaction.queued, video.mark, session.pong,
error, and session.done at the end. The stream belongs to the connection, and ends with it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from videogen.errors import VideogenError
from videogen.serve.http.app_context import Studio, owner_of, studio_of
from videogen.serve.http.errors import Problem, problem_of
from videogen.serve.http.parsing.bodies import parsed
from videogen.serve.http.parsing.request_schemas import wish_of
from videogen.serve.http.routes.streams import stream_object
from videogen.serve.http.streaming_response import Stalled, first_of, left_behind, within

if TYPE_CHECKING:
    from videogen.serve.engine.stream import Stream

FIRST_WORD = 30.0  # seconds until a session must have been started
GOODBYE = 15.0  # seconds for a client to read the last of what was sent
GOING_AWAY, REFUSED, BROKEN_OFF, NOT_NOW = 1001, 1008, 1011, 1013  # codes of WebSockets


@dataclass(eq=False)
class Session:
    """One connection, its stream, and what it was told of it."""

    socket: WebSocket
    studio: Studio
    stream: "Stream"
    chunks: int = 0
    marks: int = 0
    _speaking: asyncio.Lock = field(default_factory=asyncio.Lock)  # a piece follows its description at once

    async def say(self, message: dict[str, Any], piece: bytes | None = None) -> None:
        async with self._speaking:
            await within(self.socket.send_text(json.dumps(message, ensure_ascii=False)))
            if piece is not None:
                await within(self.socket.send_bytes(piece))


async def realtime(socket: WebSocket) -> None:
    try:
        await met(socket, studio_of(socket))
    finally:  # what is closed would wait for its reader without end
        asyncio.get_running_loop().call_later(GOODBYE, cut, socket)


async def met(socket: WebSocket, studio: Studio) -> None:
    """A client from the first word to the last."""
    await socket.accept()
    try:
        async with asyncio.timeout(FIRST_WORD):
            stream = await started(socket, studio)
    except WebSocketDisconnect:
        return
    except TimeoutError:
        await refuse(socket, Problem(408, f"no session.start came for {FIRST_WORD:g} seconds", code="too_slow"))
        return
    except (Problem, VideogenError) as error:
        await refuse(socket, problem_of(error))
        return
    try:
        await run(Session(socket, studio, stream))
    finally:
        await stream.stop()


async def started(socket: WebSocket, studio: Studio) -> "Stream":
    message = await heard(socket)
    if message.get("type") != "session.start":
        raise Problem(400, "a session begins with session.start", "type", "no_session")
    given = studio.asking.session.check(message)
    return await studio.engine.open_stream(wish_of(given, studio.info, None), owner_of(socket))


async def run(session: Session) -> None:
    """Until the stream ends, or the client stops it, leaves or stalls, or the server closes."""
    socket, stream = session.socket, session.stream
    about = stream_object(stream, session.studio)
    try:
        await session.say({"type": "video.start", "request_id": stream.id, "format": "m4s", "config": about})
        ended = await first_of(send_film(session), listen(session), session.studio.closing.wait())
        if ended in ("film", "stop"):
            await stream.stop()
            done = {"type": "session.done", "request_id": stream.id, "chunks": session.chunks}
            await session.say({**done, "stopped": ended == "stop", "error": stream.error})
        whole = BROKEN_OFF if stream.status == "failed" else 1000
        await hang_up(socket, whole if ended in ("film", "stop") else GOING_AWAY)
    except Problem as problem:
        await refuse(socket, problem)
    except WebSocketDisconnect:
        pass
    except Stalled:
        cut(socket)


async def send_film(session: Session) -> str:
    try:
        async with session.stream.watch_video() as pieces:
            await first_of(send_pieces(session, pieces), left_behind(pieces))
    except VideogenError as error:
        raise problem_of(error) from error
    return "film"


async def send_pieces(session: Session, pieces: AsyncIterator[bytes]) -> None:
    stream = session.stream
    about = {"type": "video.chunk_metadata", "request_id": stream.id, "mime": stream.mime}
    async for piece in pieces:
        await tell_marks(session)
        kind = "init" if piece[4:8] == b"ftyp" else "media"
        chunk = {"kind": kind, "transport_chunk_index": session.chunks, "byte_length": len(piece)}
        await session.say({**about, **chunk}, piece)
        session.chunks += 1


async def tell_marks(session: Session) -> None:
    new = stream_object(session.stream, session.studio)["marks"][session.marks :]
    for mark in new:
        await session.say({"type": "video.mark", "request_id": session.stream.id, **mark})
    session.marks += len(new)


async def listen(session: Session) -> str:
    """What the client says meanwhile; a mistake is answered, and ends nothing."""
    while True:
        try:
            message = await heard(session.socket)
            if message.get("type") == "session.stop":
                return "stop"
            await session.say(await reply(session, message))
        except (Problem, VideogenError) as error:
            await session.say(error_message(problem_of(error)))


async def reply(session: Session, message: dict[str, Any]) -> dict[str, Any]:
    if message.get("type") == "session.ping":
        return {"type": "session.pong"}
    if message.get("type") != "session.interaction":
        known = "session.interaction, session.ping or session.stop"
        raise Problem(400, f"a session that has begun knows {known}", "type", "unknown_message")
    interaction = session.studio.asking.interaction.check(message)["interaction"]
    await session.stream.change(interaction["event"]["prompt"], transition=interaction.get("transition"))
    queued = {"type": "session.interaction.queued", "request_id": session.stream.id}
    about = stream_object(session.stream, session.studio)
    told = {name: about[name] for name in ("note", "warnings")}
    return {**queued, "event_id": interaction.get("event_id"), **told}


async def heard(socket: WebSocket) -> dict[str, Any]:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    if message.get("text") is None:
        raise Problem(400, "messages are JSON text; pieces of film go the other way", code="not_json")
    said = parsed(message["text"])
    if not isinstance(said, dict):
        raise Problem(400, "a message must be a JSON object", code="not_an_object")
    return said


def error_message(problem: Problem) -> dict[str, Any]:
    return {"type": "error", "message": problem.message, "code": problem.code, **problem.body()}


async def refuse(socket: WebSocket, problem: Problem) -> None:
    """Say why, and hang up."""
    with suppress(WebSocketDisconnect):
        await socket.send_text(json.dumps(error_message(problem)))
        await hang_up(socket, NOT_NOW if problem.status == 503 else REFUSED)


def cut(socket: WebSocket) -> None:
    """Close the connection without waiting for its reader; where it is closed, nothing happens."""
    abort = socket.scope.get("state", {}).get("abort")
    if abort is not None:
        abort()


async def hang_up(socket: WebSocket, code: int) -> None:
    with suppress(RuntimeError):  # the server that closes has said so already
        await socket.close(code)
