"""What all handlers share: the engine, the access policy, the request schemas and the page."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection, Request

from videogen.serve.http.access.security import AccessPolicy
from videogen.serve.http.access.trusted_proxies import Networks
from videogen.serve.http.connections import client_key
from videogen.serve.http.errors import ApiError
from videogen.serve.http.page_files import PageFile, read_page
from videogen.serve.http.parsing.bodies import content_type, first_duplicate, read_json
from videogen.serve.http.parsing.forms import UploadKind, read_form
from videogen.serve.http.parsing.request_schemas import RequestSchemas, build_request_schemas
from videogen.serve.http.parsing.schema import RequestSchema, quote
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import InitialFrames

if TYPE_CHECKING:
    from videogen.serve.engine.engine import Engine

NO_FIELDS = RequestSchema({})


@dataclass(frozen=True, eq=False)
class AppContext:
    """Made once; handlers get it with `context_of`."""

    engine: "Engine"
    access: AccessPolicy
    request_schemas: RequestSchemas
    pages: Mapping[str, PageFile]
    root: str = ""  # path prefix behind a proxy
    proxies: Networks = ()  # whose X-Forwarded-For counts
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # set at shutdown: endless responses end
    started_at: int = field(default_factory=lambda: int(time.time()))

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    def at(self, path: str) -> str:
        """A path with the prefix that clients need."""
        return self.root + path


def make_context(engine: "Engine", access: AccessPolicy, root: str = "", proxies: Networks = ()) -> AppContext:
    return AppContext(engine, access, build_request_schemas(engine.info, engine.limits), read_page(), root, proxies)


def context_of(connection: HTTPConnection) -> AppContext:
    context: AppContext = connection.app.state.context
    return context


def owner_of(connection: HTTPConnection) -> str:
    """The client that a request is counted for; all clients behind a proxy that is not trusted count as one."""
    return client_key(connection.client.host) if connection.client else ""


def check_query(request: Request, schema: RequestSchema = NO_FIELDS) -> dict[str, Any]:
    """The query parameters, checked; by default there may be none."""
    given = request.query_params.multi_items()
    if (name := first_duplicate(name for name, _ in given)) is not None:
        raise ApiError(400, f"the parameter {quote(name)} is given twice", name, "twice")
    return schema.check_form(dict(given))


async def read_params(
    request: Request, schema: RequestSchema, files: Mapping[str, UploadKind | None]
) -> tuple[dict[str, Any], InitialFrames | None]:
    """The checked fields of a JSON or form body, and the frames of a file in the form."""
    context = context_of(request)
    limits = context.engine.limits
    if content_type(request) == "application/json":
        return schema.check(await read_json(request, limits.body_bytes)), None
    form = await read_form(request, files, context.engine.take_upload, limits)
    return schema.check_form(form.fields), form.initial_frames
