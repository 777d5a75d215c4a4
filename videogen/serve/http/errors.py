"""Every way in which a request is refused, and the one form that clients hear of it in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from videogen.serve.errors import (
    BusyError,
    DomainError,
    InvalidParamError,
    NotFoundError,
    UploadError,
    UploadTooLargeError,
)

INTERNAL = "internal error; the server's own output says more, please report it"


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - whoever made it is not ourselves
    """A status of HTTP, and one line that says what is wrong and what to do."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def kind(self) -> str:
        if self.status == 404:
            return "not_found"
        if self.status == 503:
            return "busy"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """As JSON: the form of the errors of OpenAI's API, which clients know how to read."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, dict(self.headers))


def problem_of(error: Exception) -> Problem:
    """What the client is told of an error; what is none of its business stays here."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, DomainError):
        return problem_of_refusal(error)
    if isinstance(error, HTTPException):
        return problem_of_routing(error)
    return Problem(500, INTERNAL, code="internal_error")


def problem_of_refusal(error: DomainError) -> Problem:
    if isinstance(error, BusyError):
        return Problem(503, error.message, code="busy", headers={"Retry-After": str(max(1, round(error.retry_after)))})
    if isinstance(error, NotFoundError):
        return Problem(404, str(error), code="gone")
    if isinstance(error, UploadTooLargeError):
        return Problem(413, str(error), code="upload_too_large")
    if isinstance(error, UploadError):
        return Problem(400, str(error), code="upload_refused")
    return Problem(400, str(error), error.param if isinstance(error, InvalidParamError) else None, code="not_possible")


def problem_of_routing(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return Problem(
            404, "there is nothing at this address; /openapi.json lists what there is", code="unknown_address"
        )
    return Problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def no_such_method(known: Iterable[str]) -> Problem:
    ways = ", ".join(sorted(known))
    return Problem(
        405, f"this address does not know that method; it knows {ways}", code="method", headers={"Allow": ways}
    )


async def answer(request: Request, error: Exception) -> Response:
    """The handler of all exceptions; Starlette raises those that are our fault again, so that they are logged."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # to nobody
    return problem_of(error).response()
