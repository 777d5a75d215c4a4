"""A login for browsers: the token once, and from then on a cookie that no script can read and no other site can use."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen.serve.http.access.login_sessions import SECONDS
from videogen.serve.http.access.security import COOKIE, authorised, login_cookie
from videogen.serve.http.app_context import studio_of
from videogen.serve.http.errors import Problem
from videogen.serve.http.parsing.bodies import read_json

LONGEST = 4096  # bytes of a body with a token in it


async def state(request: Request) -> Response:
    """Whether a token is needed here, and whether whoever asks has shown it already."""
    access = studio_of(request).access
    return JSONResponse({"needed": access.token is not None, "logged_in": authorised(access, request.headers)})


async def login(request: Request) -> Response:
    studio = studio_of(request)
    access = studio.access
    given = await read_json(request, LONGEST)
    if not isinstance(given, dict) or set(given) != {"token"} or not isinstance(given["token"], str):
        raise Problem(400, 'the body must be {"token": "..."} and nothing else', "token", "wrong_value")
    if access.token is None:
        return Response(status_code=204)  # nobody is asked for one here
    if not access.knows(given["token"]):
        await access.guesses.answer_later(request.scope, request.receive)
        raise Problem(401, "this is not the token that the server was started with", "token", "token")
    response = Response(status_code=204)
    secure = request.headers.get("origin", "").startswith("https:")
    cookie = access.logins.begin()
    response.set_cookie(COOKIE, cookie, SECONDS, path=studio.at("/"), httponly=True, samesite="strict", secure=secure)
    return response


async def logout(request: Request) -> Response:
    """The cookie opens nothing any more, here and wherever it was copied to; without one, nothing happens."""
    studio, cookie = studio_of(request), login_cookie(request.headers)
    if cookie is not None:
        studio.access.logins.end(cookie)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, studio.at("/"), httponly=True, samesite="strict")
    return response
