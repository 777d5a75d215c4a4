"""A login for browsers: the token once, and from then on a cookie that no script can read and no other site can use."""

from starlette.requests import Request
from starlette.responses import Response

from videogen.serve.bodies import read_json
from videogen.serve.errors import Problem
from videogen.serve.security import COOKIE, COOKIE_SECONDS
from videogen.serve.studio import studio_of

LONGEST = 4096  # bytes of a body with a token in it


async def login(request: Request) -> Response:
    access = studio_of(request).access
    given = await read_json(request, LONGEST)
    if not isinstance(given, dict) or set(given) != {"token"} or not isinstance(given["token"], str):
        raise Problem(400, 'the body must be {"token": "..."} and nothing else', "token", "wrong_value")
    if access.token is None:
        return Response(status_code=204)  # nobody is asked for one here
    if not access.knows(given["token"]):
        raise Problem(401, "this is not the token that the server was started with", "token", "token")
    response = Response(status_code=204)
    secure = request.headers.get("origin", "").startswith("https:")
    response.set_cookie(COOKIE, access.cookie(), COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure)
    return response


async def logout(request: Request) -> Response:
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
