"""/v1/realtime/video: a stream over one WebSocket, with the messages of vLLM-Omni.

From the client: session.start, session.interaction, session.ping, session.stop. To the client: video.start; for each
fragment of the mp4 video.chunk_metadata and then the fragment as a binary message; session.interaction.queued,
video.mark, video.control, session.pong, error; and session.done at the end. The stream ends with the connection.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from videogen.errors import VideogenError
from videogen.serve.http.app_context import AppContext, context_of, owner_of
from videogen.serve.http.errors import ApiError, to_api_error
from videogen.serve.http.parsing.bodies import parse_json
from videogen.serve.http.parsing.request_schemas import generation_params
from videogen.serve.http.request_log import note_route
from videogen.serve.http.routes.streams import stream_object
from videogen.serve.http.streaming_response import ReaderStalledError, first_completed, raise_when_dropped, send_within

if TYPE_CHECKING:
    from videogen.serve.engine.stream import Stream

START_SECONDS = 30.0  # for session.start to arrive
CLOSE_SECONDS = 15.0  # for the client to read the last messages
GOING_AWAY, POLICY_VIOLATION, INTERNAL_ERROR, TRY_AGAIN_LATER = 1001, 1008, 1011, 1013  # close codes


@dataclass(eq=False)
class RealtimeSession:
    """A connection, its stream, and how many chunks, marks and changes of the control were sent."""

    socket: WebSocket
    context: AppContext
    stream: "Stream"
    chunks: int = 0
    marks: int = 0
    controls: int = 0
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)  # keeps a fragment next to its metadata

    async def send(self, message: dict[str, Any], fragment: bytes | None = None) -> None:
        async with self._sending:
            await send_within(self.socket.send_text(json.dumps(message, ensure_ascii=False)))
            if fragment is not None:
                await send_within(self.socket.send_bytes(fragment))


async def realtime(socket: WebSocket) -> None:
    note_route(socket.scope, "/v1/realtime/video")
    try:
        await serve_client(socket, context_of(socket))
    finally:  # closing would wait for the client without a limit
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, abort, socket)


async def serve_client(socket: WebSocket, context: AppContext) -> None:
    """Serve a client from its first message to its last."""
    await socket.accept()
    try:
        async with asyncio.timeout(START_SECONDS):
            stream = await start_session(socket, context)
    except WebSocketDisconnect:
        return
    except TimeoutError:
        await close_with_error(
            socket, ApiError(408, f"no session.start arrived within {START_SECONDS:g} seconds", code="too_slow")
        )
        return
    except (ApiError, VideogenError) as error:
        await close_with_error(socket, to_api_error(error))
        return
    try:
        await run(RealtimeSession(socket, context, stream))
    finally:
        await stream.stop()


async def start_session(socket: WebSocket, context: AppContext) -> "Stream":
    message = await receive_message(socket)
    if message.get("type") != "session.start":
        raise ApiError(400, "the first message must be session.start", "type", "no_session")
    given = context.request_schemas.session.check(message)
    return await context.engine.open_stream(generation_params(given, context.info, None), owner_of(socket))


async def run(session: RealtimeSession) -> None:
    """Run until the stream ends, the client stops it, disconnects or stalls, or the server shuts down."""
    socket, stream = session.socket, session.stream
    about = stream_object(stream, session.context)
    try:
        await session.send({"type": "video.start", "request_id": stream.id, "format": "m4s", "config": about})
        ended = await first_completed(send_video(session), receive_until_end(session), session.context.closing.wait())
        if ended in ("end", "stop"):
            await stream.stop()
            done = {"type": "session.done", "request_id": stream.id, "chunks": session.chunks}
            await session.send({**done, "stopped": ended == "stop", "error": stream.error})
        code = INTERNAL_ERROR if stream.status == "failed" else 1000
        await close(socket, code if ended in ("end", "stop") else GOING_AWAY)
    except ApiError as error:
        await close_with_error(socket, error)
    except WebSocketDisconnect:
        pass
    except ReaderStalledError:
        abort(socket)


async def send_video(session: RealtimeSession) -> str:
    try:
        async with session.stream.watch_video() as fragments:
            await first_completed(send_fragments(session, fragments), raise_when_dropped(fragments))
    except VideogenError as error:
        raise to_api_error(error) from error
    return "end"


async def send_fragments(session: RealtimeSession, fragments: AsyncIterator[bytes]) -> None:
    stream = session.stream
    about = {"type": "video.chunk_metadata", "request_id": stream.id, "mime": stream.mime}
    async for fragment in fragments:
        await send_marks(session)
        kind = "init" if fragment[4:8] == b"ftyp" else "media"
        chunk = {"kind": kind, "transport_chunk_index": session.chunks, "byte_length": len(fragment)}
        await session.send({**about, **chunk}, fragment)
        session.chunks += 1


async def send_marks(session: RealtimeSession) -> None:
    """Send the marks and the changes of the control that have not been sent."""
    stream, fps = session.stream, session.context.info.fps
    new = stream.marks[session.marks :]
    for mark in new:
        await session.send({"type": "video.mark", "request_id": stream.id, **mark.to_json(fps)})
    session.marks += len(new)
    for change in [each for each in stream.controls if each.number >= session.controls]:
        await session.send({"type": "video.control", "request_id": stream.id, **change.to_json(fps)})
        session.controls = change.number + 1


async def receive_until_end(session: RealtimeSession) -> str:
    """Answer messages of the client; an error does not end the session."""
    while True:
        try:
            message = await receive_message(session.socket)
            if message.get("type") == "session.stop":
                return "stop"
            await session.send(await reply(session, message))
        except (ApiError, VideogenError) as error:
            await session.send(error_message(to_api_error(error)))


async def reply(session: RealtimeSession, message: dict[str, Any]) -> dict[str, Any]:
    if message.get("type") == "session.ping":
        return {"type": "session.pong"}
    if message.get("type") != "session.interaction":
        allowed = "session.interaction, session.ping or session.stop"
        raise ApiError(400, f"after session.start, the type must be {allowed}", "type", "unknown_message")
    interaction = session.context.request_schemas.interaction.check(message)["interaction"]
    event = interaction["event"]
    await session.stream.change(
        event.get("prompt"), transition=interaction.get("transition"), control=event.get("control")
    )
    queued = {"type": "session.interaction.queued", "request_id": session.stream.id}
    about = stream_object(session.stream, session.context)
    notes = {name: about[name] for name in ("note", "warnings")}
    return {**queued, "event_id": interaction.get("event_id"), **notes}


async def receive_message(socket: WebSocket) -> dict[str, Any]:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    if message.get("text") is None:
        raise ApiError(400, "messages must be JSON text, not binary", code="not_json")
    parsed = parse_json(message["text"])
    if not isinstance(parsed, dict):
        raise ApiError(400, "a message must be a JSON object", code="not_an_object")
    return parsed


def error_message(error: ApiError) -> dict[str, Any]:
    return {"type": "error", "message": error.message, "code": error.code, **error.body()}


async def close_with_error(socket: WebSocket, error: ApiError) -> None:
    """Send the error and close."""
    with suppress(WebSocketDisconnect):
        await socket.send_text(json.dumps(error_message(error)))
        await close(socket, TRY_AGAIN_LATER if error.status == 503 else POLICY_VIOLATION)


def abort(socket: WebSocket) -> None:
    """Drop the connection without waiting for the client; does nothing if it is closed."""
    abort = socket.scope.get("state", {}).get("abort")
    if abort is not None:
        abort()


async def close(socket: WebSocket, code: int) -> None:
    with suppress(RuntimeError):  # the server has closed it already
        await socket.close(code)
