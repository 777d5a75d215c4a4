"""A server under a path of somebody's site: a proxy in front may leave that path on, or take it away."""

import re

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from videogen.errors import UsageError

PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def checked_root(path: str) -> str:
    """Without a slash at its end; "" at the top of a site. UsageError if it is no path."""
    root = path.rstrip("/")
    if root and (not PATH.fullmatch(root) or {".", ".."} & set(root.split("/"))):
        raise UsageError(f"--root-path is {path!a}; it is a path such as /studio")
    return root


class RootPath:
    """Takes the path away where it is still there; addresses in answers begin with it, see `Studio.at`."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app, self.root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if scope["type"] == "http" and path == self.root:  # the page's own addresses are relative to what ends with /
            await RedirectResponse(f"{self.root}/", 308)(scope, receive, send)
            return
        if path.startswith(f"{self.root}/"):
            raw = scope.get("raw_path") or path.encode()
            scope = {**scope, "path": path[len(self.root) :], "raw_path": raw[len(self.root) :]}
        await self.app(scope, receive, send)
