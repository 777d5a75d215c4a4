"""The application: which address does what. Begin reading the server here; what it knows of a model is engine.py."""

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

from sampling.config import ORDERS
from videogen.serve.errors import RETRY_AFTER, DomainError
from videogen.serve.http import page_files
from videogen.serve.http.access.security import Guard
from videogen.serve.http.app_context import Studio, query_of, studio_of
from videogen.serve.http.body_drain import Leftovers
from videogen.serve.http.errors import Problem, answer, no_such_method
from videogen.serve.http.parsing.request_schemas import size_of
from videogen.serve.http.root_path import RootPath
from videogen.serve.http.routes import login, streams, videos
from videogen.serve.http.routes.metrics import metrics
from videogen.serve.http.routes.openapi import openapi
from videogen.serve.http.routes.realtime import realtime

Handler = Callable[[Request], Awaitable[Response]]


def make_app(studio: Studio) -> ASGIApp:
    routes = [
        at("/", GET=page_files.index),
        at("/page/{name}", GET=page_files.file),
        at("/login", GET=login.state, POST=login.login),
        at("/logout", POST=login.logout),
        at("/healthz", GET=healthz),
        at("/readyz", GET=readyz),
        at("/metrics", GET=metrics),
        at("/openapi.json", GET=openapi),
        at("/v1/limits", GET=limits),
        at("/v1/models", GET=models),
        at("/v1/models/{id}", GET=model),
        at("/v1/videos", GET=videos.listing, POST=videos.create),
        at("/v1/videos/extensions", POST=videos.extend),
        at("/v1/videos/edits", POST=videos.not_possible),
        at("/v1/videos/characters", POST=videos.not_possible),
        at("/v1/videos/{id}/remix", POST=videos.not_possible),
        at("/v1/videos/{id}", GET=videos.retrieve, DELETE=videos.delete),
        at("/v1/videos/{id}/content", GET=videos.content),
        at("/v1/streams", POST=streams.create),
        at("/v1/streams/{id}", GET=streams.retrieve, PATCH=streams.change, DELETE=streams.stop),
        at("/v1/streams/{id}/video", GET=streams.video),
        at("/v1/streams/{id}/preview", GET=streams.preview),
        at("/v1/streams/{id}/recent", GET=streams.recent),
        at("/v1/realtime/video", GET=not_without_upgrade),
        WebSocketRoute("/v1/realtime/video", realtime),
        WebSocketRoute("/{path:path}", no_such_socket),
    ]
    refusals = (Problem, DomainError, HTTPException, ClientDisconnect, Exception)
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys(refusals, answer))
    app.router.redirect_slashes = False
    app.state.studio = studio
    guarded = Guard(Leftovers(app), studio.access)
    return RootPath(guarded, studio.root) if studio.root else guarded


def at(path: str, **handlers: Handler) -> Route:
    return Route(path, Address(handlers))


class Address:
    """All methods of an address: one that it does not know is refused here, and never taken for another address."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        if request.method not in self.handlers:
            raise no_such_method(self.handlers)
        response = await self.handlers[request.method](request)
        await response(scope, receive, send)


async def not_without_upgrade(request: Request) -> Response:
    raise Problem(426, "this address speaks WebSocket", code="upgrade", headers={"Upgrade": "websocket"})


async def no_such_socket(socket: WebSocket) -> None:
    message = "there is nothing at this address; WebSockets are spoken at /v1/realtime/video"
    await socket.send_denial_response(Problem(404, message, code="unknown_address").response())


async def healthz(request: Request) -> Response:
    """Whether the server itself works: it starts a model process that has died again, and needs no help with that."""
    if not studio_of(request).engine.supervised():
        raise Problem(503, "the server does not look after its model any more; start it again", code="broken")
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether something can be made just now."""
    studio = studio_of(request)
    later = {"Retry-After": str(RETRY_AFTER)}
    if studio.closing.is_set():
        raise Problem(503, "the server is going down", code="closing", headers=later)
    if not studio.engine.healthy():
        message = "the model's process does not answer; it is being started again"
        raise Problem(503, message, code="no_model", headers=later)
    return JSONResponse({"status": "ready"})


async def limits(request: Request) -> Response:
    query_of(request)
    return JSONResponse(asdict(studio_of(request).engine.limits))


async def models(request: Request) -> Response:
    query_of(request)
    return JSONResponse({"object": "list", "data": [model_object(studio_of(request))]})


async def model(request: Request) -> Response:
    query_of(request)
    studio = studio_of(request)
    if request.path_params["id"] != studio.info.name:
        raise Problem(404, f"there is no model of that name; there is {studio.info.name}", code="unknown_model")
    return JSONResponse(model_object(studio))


def model_object(studio: Studio) -> dict[str, Any]:
    info = studio.info
    hidden = ("name", "prompt_vocabulary")
    described = {one.name: getattr(info, one.name) for one in fields(info) if one.name not in hidden}
    return {
        "id": info.name,
        "object": "model",
        "created": studio.started_at,
        "owned_by": "videogen",
        "size": size_of(info),
        "orders": list(ORDERS[info.objective]),
        **described,
        "sampler": dict(info.sampler),  # as it is published, whatever kind of mapping it is
    }
