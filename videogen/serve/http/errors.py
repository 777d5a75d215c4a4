"""ApiError, and the conversion of all other exceptions to it."""

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

INTERNAL = "internal error; see the log of the server, and please report it"


@dataclass(eq=False)
class ApiError(Exception):
    """An HTTP status and a one-line message: what is wrong and what to do."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def type(self) -> str:
        if self.status == 404:
            return "not_found"
        if self.status == 503:
            return "busy"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """The JSON body, in the format of OpenAI's API."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, dict(self.headers))


def to_api_error(error: Exception) -> ApiError:
    """The error that the client receives; details of internal errors stay on the server."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, DomainError):
        return from_domain_error(error)
    if isinstance(error, HTTPException):
        return from_http_exception(error)
    return ApiError(500, INTERNAL, code="internal_error")


def from_domain_error(error: DomainError) -> ApiError:
    if isinstance(error, BusyError):
        return ApiError(503, error.message, code="busy", headers={"Retry-After": str(max(1, round(error.retry_after)))})
    if isinstance(error, NotFoundError):
        return ApiError(404, str(error), code="gone")
    if isinstance(error, UploadTooLargeError):
        return ApiError(413, str(error), code="upload_too_large")
    if isinstance(error, UploadError):
        return ApiError(400, str(error), code="upload_refused")
    return ApiError(400, str(error), error.param if isinstance(error, InvalidParamError) else None, code="not_possible")


def from_http_exception(error: HTTPException) -> ApiError:
    if error.status_code == 404:
        return ApiError(404, "this path does not exist; see /openapi.json", code="unknown_address")
    return ApiError(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def method_not_allowed(known: Iterable[str]) -> ApiError:
    allowed = ", ".join(sorted(known))
    return ApiError(
        405, f"this path does not support the method; it supports {allowed}", code="method", headers={"Allow": allowed}
    )


async def handle_exception(request: Request, error: Exception) -> Response:
    """Handles all exceptions; Starlette re-raises unexpected ones, so that they are logged."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # the client is gone
    return to_api_error(error).response()
