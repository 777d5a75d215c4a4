"""Middleware for a server under a path prefix; a proxy in front may keep the prefix or strip it."""

import re

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from videogen.errors import UsageError

PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def normalize_root_path(path: str) -> str:
    """Without a trailing slash; "" for no prefix. UsageError if it is not a path."""
    root = path.rstrip("/")
    if root and (not PATH.fullmatch(root) or {".", ".."} & set(root.split("/"))):
        raise UsageError(f"--root-path is {path!a}; it must be a path such as /studio")
    return root


class RootPathMiddleware:
    """Strips the prefix if it is there; paths in responses have it, see `AppContext.at`."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app, self.root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "http" and path == self.root:  # the page uses relative URLs, which need the slash
            await RedirectResponse(f"{self.root}/", 308)(scope, receive, send)
            return
        if path.startswith(f"{self.root}/"):
            raw = scope.get("raw_path") or path.encode()
            scope = {**scope, "path": path[len(self.root) :], "raw_path": raw[len(self.root) :]}
        await self.app(scope, receive, send)
