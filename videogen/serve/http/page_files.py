"""The files of the page, read once into a table. No name from a client ever becomes a path."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from videogen.serve.http.errors import ApiError

FOLDER = Path(__file__).parents[1] / "page"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class PageFile:
    content: bytes = field(repr=False)
    media_type: str
    tag: str

    def response(self, request: Request) -> Response:
        """Browsers revalidate each time, so that an update of the server updates the page."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def read_page(folder: Path = FOLDER) -> Mapping[str, PageFile]:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {file.name: page_file(file) for file in files if file.suffix in TYPES and file.is_file()}


def page_file(file: Path) -> PageFile:
    content = file.read_bytes()
    return PageFile(content, TYPES[file.suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


async def index(request: Request) -> Response:
    return serve(request, INDEX)


async def file(request: Request) -> Response:
    return serve(request, request.path_params["name"])


def serve(request: Request, name: str) -> Response:
    pages: Mapping[str, PageFile] = request.app.state.context.pages
    if name not in pages:
        raise ApiError(404, "the page has no file with this name", code="unknown_address")
    return pages[name].response(request)
