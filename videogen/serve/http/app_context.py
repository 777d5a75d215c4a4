"""What every answer is made from: the engine, what may be asked of it and by whom, and the page."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import HTTPConnection, Request

from videogen.serve.http.access.security import Access
from videogen.serve.http.connections import share_of
from videogen.serve.http.errors import Problem
from videogen.serve.http.page_files import PageFile, read_page
from videogen.serve.http.parsing.bodies import content_type, first_repeated, read_json
from videogen.serve.http.parsing.fields import Fields, shown
from videogen.serve.http.parsing.forms import Kind, read_form
from videogen.serve.http.parsing.request_schemas import Asking, asking
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import InitialFrames

if TYPE_CHECKING:
    from videogen.serve.engine.engine import Engine

NOTHING = Fields({})


@dataclass(frozen=True, eq=False)
class Studio:
    engine: "Engine"
    access: Access
    asking: Asking
    pages: Mapping[str, PageFile]
    root: str = ""  # the path that a proxy has put it under
    closing: asyncio.Event = field(default_factory=asyncio.Event)  # set: whatever goes on without end, ends
    started_at: int = field(default_factory=lambda: int(time.time()))

    @property
    def info(self) -> ModelInfo:
        return self.engine.info

    def at(self, path: str) -> str:
        """An address of this server as a browser has to ask for it."""
        return self.root + path


def open_studio(engine: "Engine", access: Access, root: str = "") -> Studio:
    return Studio(engine, access, asking(engine.info, engine.limits), read_page(), root)


def studio_of(connection: HTTPConnection) -> Studio:
    studio: Studio = connection.app.state.studio
    return studio


def owner_of(connection: HTTPConnection) -> str:
    """Whoever asks, as far as that can be told: all behind one proxy are one."""
    return share_of(connection.client.host) if connection.client else ""


def query_of(request: Request, fields: Fields = NOTHING) -> dict[str, Any]:
    """What the address asks for, which is nothing that is not in the table."""
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    if (twice := first_repeated(names)) is not None:
        raise Problem(400, f"the parameter {shown(twice)} is there twice", twice, "twice")
    return fields.check_form(dict(given))


async def read_wish(
    request: Request, fields: Fields, files: Mapping[str, Kind | None]
) -> tuple[dict[str, Any], InitialFrames | None]:
    """The fields of a body, and the pictures of a file that came with it."""
    studio = studio_of(request)
    limits = studio.engine.limits
    if content_type(request) == "application/json":
        return fields.check(await read_json(request, limits.body_bytes)), None
    form = await read_form(request, files, studio.engine.take_upload, limits)
    return fields.check_form(form.fields), form.initial_frames
