"""The application: all routes. Begin reading the HTTP server here."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from sampling.config import orders_of
from videogen.serve.errors import RETRY_AFTER, DomainError
from videogen.serve.http import page_files
from videogen.serve.http.access.security import AccessGuard
from videogen.serve.http.access.trusted_proxies import ForwardedMiddleware
from videogen.serve.http.app_context import AppContext, check_query, context_of
from videogen.serve.http.body_drain import BodyDrain
from videogen.serve.http.errors import ApiError, handle_exception, method_not_allowed
from videogen.serve.http.parsing.request_schemas import size_of
from videogen.serve.http.request_log import RequestLog, note_route
from videogen.serve.http.root_path import RootPathMiddleware
from videogen.serve.http.routes import login, streams, videos
from videogen.serve.http.routes.metrics import metrics
from videogen.serve.http.routes.openapi import openapi
from videogen.serve.http.routes.realtime import realtime

Handler = Callable[[Request], Awaitable[Response]]


def make_app(context: AppContext) -> ASGIApp:
    routes = [
        route("/", GET=page_files.index),
        route("/page/{name}", GET=page_files.file),
        route("/login", GET=login.state, POST=login.login),
        route("/logout", POST=login.logout),
        route("/health", GET=healthz),
        route("/healthz", GET=healthz),
        route("/readyz", GET=readyz),
        route("/metrics", GET=metrics),
        route("/openapi.json", GET=openapi),
        route("/v1/limits", GET=limits),
        route("/v1/models", GET=models),
        route("/v1/models/{id}", GET=model),
        route("/v1/videos", GET=videos.list_videos, POST=videos.create),
        route("/v1/videos/extensions", POST=videos.extend),
        route("/v1/videos/edits", POST=videos.not_supported),
        route("/v1/videos/characters", POST=videos.not_supported),
        route("/v1/videos/{id}/remix", POST=videos.not_supported),
        route("/v1/videos/{id}", GET=videos.retrieve, DELETE=videos.delete),
        route("/v1/videos/{id}/content", GET=videos.content),
        route("/v1/streams", POST=streams.create),
        route("/v1/streams/{id}", GET=streams.retrieve, PATCH=streams.change, DELETE=streams.stop),
        route("/v1/streams/{id}/video", GET=streams.video),
        route("/v1/streams/{id}/preview", GET=streams.preview),
        route("/v1/streams/{id}/recent", GET=streams.recent),
        route("/v1/realtime/video", GET=upgrade_required),
        WebSocketRoute("/v1/realtime/video", realtime),
        WebSocketRoute("/{path:path}", unknown_websocket),
    ]
    handled = (ApiError, DomainError, HTTPException, ClientDisconnect, Exception)
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys(handled, handle_exception))
    app.router.redirect_slashes = False
    app.state.context = context
    guarded = AccessGuard(BodyDrain(app), context.access)
    logged = RequestLog(RootPathMiddleware(guarded, context.root) if context.root else guarded)
    return ForwardedMiddleware(logged, context.proxies) if context.proxies else logged


def route(path: str, **handlers: Handler) -> Route:
    return Route(path, Endpoint(path, handlers))


class Endpoint:
    """All methods of one path; answers 405 for others, where Starlette would try the next route."""

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        self.path = path
        self.handlers = {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note_route(scope, self.path)
        request = Request(scope, receive, send)
        if request.method not in self.handlers:
            raise method_not_allowed(self.handlers)
        response = await self.handlers[request.method](request)
        await response(scope, receive, send)


async def upgrade_required(request: Request) -> Response:
    raise ApiError(426, "this path needs a WebSocket", code="upgrade", headers={"Upgrade": "websocket"})


async def unknown_websocket(socket: WebSocket) -> None:
    message = "this path does not exist; the WebSocket is at /v1/realtime/video"
    await socket.send_denial_response(ApiError(404, message, code="unknown_address").response())


async def healthz(request: Request) -> Response:
    """Whether the server works: it restarts a model process that has died by itself."""
    if not context_of(request).engine.supervised():
        raise ApiError(503, "the server no longer supervises its model process; restart the server", code="broken")
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether the server can accept a request now."""
    context = context_of(request)
    later = {"Retry-After": str(RETRY_AFTER)}
    if context.closing.is_set():
        raise ApiError(503, "the server is shutting down", code="closing", headers=later)
    if not context.engine.healthy():
        message = "the model process does not answer; it is being restarted"
        raise ApiError(503, message, code="no_model", headers=later)
    return JSONResponse({"status": "ready"})


async def limits(request: Request) -> Response:
    check_query(request)
    return JSONResponse(asdict(context_of(request).engine.limits))


async def models(request: Request) -> Response:
    check_query(request)
    return JSONResponse({"object": "list", "data": [model_object(context_of(request))]})


async def model(request: Request) -> Response:
    check_query(request)
    context = context_of(request)
    if request.path_params["id"] != context.info.name:
        raise ApiError(
            404, f"there is no model with this name; the model here is {context.info.name}", code="unknown_model"
        )
    return JSONResponse(model_object(context))


def model_object(context: AppContext) -> dict[str, Any]:
    info = context.info
    hidden = ("name", "prompt_vocabulary")
    describe = {one.name: getattr(info, one.name) for one in fields(info) if one.name not in hidden}
    return {
        "id": info.name,
        "object": "model",
        "created": context.started_at,
        "owned_by": "videogen",
        "size": size_of(info),
        "orders": list(orders_of(info.objective, info.likelihood)),
        **describe,
        "sampler": dict(info.sampler),  # a plain dict, for JSON
        "control": None if info.control is None else asdict(info.control),
    }
