"""/login and /logout for browsers: a token is exchanged for a cookie that scripts and other sites cannot use."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen.serve.http.access.login_sessions import LOGIN_SECONDS
from videogen.serve.http.access.security import COOKIE, is_authorized, login_cookie
from videogen.serve.http.app_context import context_of
from videogen.serve.http.errors import ApiError
from videogen.serve.http.parsing.bodies import read_json

MAX_BODY_BYTES = 4096


async def state(request: Request) -> Response:
    """Whether the server requires a token, and whether this client is logged in."""
    access = context_of(request).access
    return JSONResponse({"needed": access.token is not None, "logged_in": is_authorized(access, request.headers)})


async def login(request: Request) -> Response:
    context = context_of(request)
    access = context.access
    given = await read_json(request, MAX_BODY_BYTES)
    if not isinstance(given, dict) or set(given) != {"token"} or not isinstance(given["token"], str):
        raise ApiError(400, 'the body must be {"token": "..."} and nothing else', "token", "wrong_value")
    if access.token is None:
        return Response(status_code=204)  # no token is required
    if not access.accepts_token(given["token"]):
        await access.token_throttle.delay_answer(request.scope, request.receive)
        raise ApiError(401, "this is not the token of the server", "token", "token")
    response = Response(status_code=204)
    secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
    cookie = access.logins.begin()
    response.set_cookie(
        COOKIE, cookie, LOGIN_SECONDS, path=context.at("/"), httponly=True, samesite="strict", secure=secure
    )
    return response


async def logout(request: Request) -> Response:
    """Invalidate the cookie and all its copies; does nothing without one."""
    context, cookie = context_of(request), login_cookie(request.headers)
    if cookie is not None:
        context.access.logins.end(cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, context.at("/"), httponly=True, samesite="strict")
    return response
