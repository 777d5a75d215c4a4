"""Access: host names, origins, the token, logins; and what is never revealed."""

import random
import string
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
import websockets.sync.client
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus

from tests.serve.served import Served, checked_problem, problem, raw_problem, served
from videogen.errors import UsageError
from videogen.serve.http.access import login_sessions
from videogen.serve.http.access import token_throttle as wrong_tokens
from videogen.serve.http.access.login_sessions import LoginSessions
from videogen.serve.http.access.security import COOKIE, access_policy, is_guessable, is_loopback
from videogen.serve.http.access.token_throttle import TokenThrottle

TOKEN = "correct horse battery staple"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    access = replace(access_policy("127.0.0.1", (), TOKEN), token_throttle=TokenThrottle(longest=0.0))
    with served(tmp_path_factory.mktemp("locked"), access) as there:
        yield there


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("there")) as there:
        yield there


def with_token(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "LOCALHOST", "::1"])
def test_loopback_needs_no_token(host):
    assert is_loopback(host)
    assert access_policy(host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "studio.example.org", "127.0.0.1.example.org", ""])
def test_other_addresses_need_a_token(host):
    with pytest.raises(UsageError, match="--token-file"):
        access_policy(host)
    assert access_policy(host, (), TOKEN).token == TOKEN


SIMPLE = ["a" * 16, "ab" * 20, "1234567890123456", "abcdefghijklmnopqrstuvwxyz", "passwordpassword", "0123456789abcdef"]


@pytest.mark.parametrize("token", SIMPLE)
def test_guessable_token_is_refused(token):
    with pytest.raises(UsageError, match="openssl rand") as caught:
        access_policy("0.0.0.0", (), token)
    assert token not in str(caught.value)


def test_random_tokens_are_accepted():
    draw = random.Random(7)
    for alphabet in ("0123456789abcdef", string.ascii_letters + string.digits):
        for _ in range(2000):
            assert not is_guessable("".join(draw.choices(alphabet, k=16)))


def test_wrong_tokens_are_delayed_and_logged(caplog):
    instant = [0.0]
    token_throttle = TokenThrottle(clock=lambda: instant[0])
    waits = [token_throttle.record_failure("a") for _ in range(200)]
    assert waits[:7] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
    assert set(waits[7:]) == {10.0}
    assert token_throttle.record_failure("b") == 0.25, "other addresses are not delayed"
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in lines if " from a;" in line] == ["1", "10", "100"]
    instant[0] = 1000.0
    assert token_throttle.record_failure("a") == 0.25, "old failures expire"


def test_throttle_is_bounded(monkeypatch):
    monkeypatch.setattr(wrong_tokens, "MAX_ADDRESSES", 5)
    token_throttle = TokenThrottle()
    for number in range(50):
        token_throttle.record_failure(str(number))
    assert list(token_throttle._wrong) == ["45", "46", "47", "48", "49"]


def test_only_wrong_tokens_are_delayed(tmp_path):
    access = replace(access_policy("127.0.0.1", (), TOKEN), token_throttle=TokenThrottle(first=600.0, longest=600.0))
    with served(tmp_path, access) as there:
        for ask in (
            {"method": "POST", "url": "/login", "json": {"token": "x" * 20}},
            {"method": "GET", "url": "/v1/models", "headers": with_token("x" * 20)},
            {"method": "POST", "url": "/v1/videos", "json": {}, "headers": with_token("x" * 20)},
        ):
            with pytest.raises(httpx.ReadTimeout):
                httpx.Client(base_url=there.url).request(**ask, timeout=0.2)  # type: ignore[arg-type]
        assert there.ask("GET", "/v1/models").status_code == 401, "a request without a token is not a wrong token"
        assert there.ask("POST", "/login", json={"token": TOKEN}).status_code == 204
        there.waits_until(lambda: not there.server.server_state.tasks)  # disconnected clients are not delayed further


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "ü" * 20])
def test_short_token_is_refused(token):
    with pytest.raises(UsageError, match="16"):
        access_policy("127.0.0.1", (), token)


def test_token_is_not_in_repr():
    assert TOKEN not in repr(access_policy("127.0.0.1", (), TOKEN))


def test_host_names():
    access = access_policy("127.0.0.1", ("Studio.example.org",))
    for host in ("127.0.0.1", "127.0.0.1:8000", "localhost:9", "LocalHost", "[::1]:8000", "studio.example.org:443"):
        assert access.serves(host), host
    for host in ("", "example.org", "127.0.0.1.example.org", "localhost:", "localhost:x", "localhost@example.org",
                 "127.0.0.1:80:80", " localhost", "localhost\n", "::1", "[::1", "0.0.0.0", "10.0.0.1"):  # fmt: skip
        assert not access.serves(host), host
    everywhere = access_policy("0.0.0.0", (), TOKEN)
    assert everywhere.serves("10.0.0.1:8000")
    assert everywhere.serves("[fe80::1]:8000")
    assert not everywhere.serves("rebound.example.org:8000")


@given(st.text())
def test_any_host_header_is_handled(host):
    assert not access_policy("127.0.0.1").serves(f"{host}x.example.org")


@pytest.mark.parametrize("path", ["/", "/page/index.html", "/healthz"])
def test_page_is_public(locked, path):
    assert locked.ask("GET", path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/videos", "/metrics", "/openapi.json", "/v1/streams/x", "/nothing", "//page/x"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        with_token("x"),
        with_token(TOKEN[:-1]),
        with_token(TOKEN + "x"),
        with_token(TOKEN.upper()),
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}=99999999999.{'0' * 64}"},
        {"Cookie": f"{COOKIE}=;;=,,"},
    ],
)
def test_everything_else_needs_the_token(locked, path, headers):
    error = problem(locked.ask("GET", path, headers=headers), 401)
    assert error["code"] == "token"
    assert TOKEN not in error["message"]


def test_token_gives_access(locked):
    assert locked.ask("GET", "/v1/models", headers=with_token()).status_code == 200
    assert locked.ask("GET", "/v1/models", headers={"Authorization": f"bearer  {TOKEN}"}).status_code == 200
    assert "WWW-Authenticate" in locked.ask("GET", "/v1/models").headers


def test_token_in_a_url_is_refused(locked):
    for name in ("token", "access_token", "api_key", "TOKEN"):
        error = problem(locked.ask("GET", "/v1/models", params={name: TOKEN}, headers=with_token()), 400)
        assert error["code"] == "token_in_address"
        assert TOKEN not in error["message"]


def test_login_sets_an_http_only_cookie(locked):
    with httpx.Client(base_url=locked.url) as browser:
        assert problem(browser.post("/login", json={"token": TOKEN + "x"}), 401)["param"] == "token"
        assert browser.get("/v1/models").status_code == 401
        entered = browser.post("/login", json={"token": TOKEN})
        assert entered.status_code == 204
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert TOKEN not in cookie
        assert browser.get("/v1/models").status_code == 200
        assert browser.post("/logout").status_code == 204
        assert browser.get("/v1/models").status_code == 401


def test_login_over_tls_sets_a_secure_cookie(locked):
    headers = {"Origin": locked.url.replace("http:", "https:")}
    assert "Secure" in locked.ask("POST", "/login", json={"token": TOKEN}, headers=headers).headers["set-cookie"]


@pytest.mark.parametrize("others", ['prefs={"a":1}', "a b=c", "=", "x", 'q="unfinished', "\u00e9=\u00fc"])
def test_other_cookies_are_ignored(locked, others):
    ours = f"{COOKIE}={locked.studio.access.logins.begin()}"
    for cookies in (f"{others}; {ours}", f"{ours}; {others}"):
        assert locked.ask("GET", "/v1/models", headers={"Cookie": cookies.encode("latin-1")}).status_code == 200
    assert locked.ask("GET", "/v1/models", headers={"Cookie": others.encode("latin-1")}).status_code == 401


@pytest.mark.parametrize("text", [b'{"token": "\\ud800"}', b'{"token": "\\udfff\\ud800"}'])
def test_token_that_is_not_text_is_refused(locked, text):
    answer = locked.ask("POST", "/login", content=text, headers={"Content-Type": "application/json"})
    assert problem(answer, 400)["code"] == "not_json"


@pytest.mark.parametrize("body", [{}, {"token": 5}, {"token": None}, {"token": TOKEN, "x": 1}, [], "x"])
def test_login_body_is_checked(locked, body):
    error = problem(locked.ask("POST", "/login", json=body), 400)
    assert TOKEN not in error["message"]


def test_cookie_expires_and_cannot_be_forged(monkeypatch):
    ours, others = LoginSessions(), LoginSessions()
    cookie = ours.begin()
    assert ours.is_valid(cookie)
    assert not others.is_valid(cookie)
    for forged in ("", "0" * 64, cookie[:-1], cookie + "0", cookie.upper() + "x", "\u00fc", "\udcff"):
        assert not ours.is_valid(forged)
    now = time.time()
    monkeypatch.setattr(login_sessions.time, "time", lambda: now + login_sessions.LOGIN_SECONDS + 1)
    assert not ours.is_valid(cookie)
    assert ours.is_valid(ours.begin())
    assert len(ours._until) == 1, "what has ended is forgotten"


def test_logins_are_bounded(monkeypatch):
    monkeypatch.setattr(login_sessions, "MAX_LOGINS", 3)
    ours = LoginSessions()
    cookies = [ours.begin() for _ in range(5)]
    assert [ours.is_valid(cookie) for cookie in cookies] == [False, False, True, True, True]


def test_logout_invalidates_all_copies_of_the_cookie(locked):
    with httpx.Client(base_url=locked.url) as browser:
        browser.post("/login", json={"token": TOKEN})
        copy = {"Cookie": f"{COOKIE}={browser.cookies[COOKIE]}"}
        assert locked.ask("GET", "/v1/models", headers=copy).status_code == 200
        assert locked.ask("GET", "/login", headers=copy).json() == {"needed": True, "logged_in": True}
        assert browser.post("/logout").status_code == 204
        assert locked.ask("GET", "/v1/models", headers=copy).status_code == 401
        assert locked.ask("GET", "/login", headers=copy).json() == {"needed": True, "logged_in": False}
        assert locked.ask("POST", "/logout", headers=copy).status_code == 204


def test_login_state_without_a_token(there):
    assert there.ask("GET", "/login").json() == {"needed": False, "logged_in": False}


def test_origin_error_names_the_fix(there):
    """As the page gets it behind a proxy that replaces the Host header."""
    answer = there.ask("POST", "/v1/streams", json={}, headers={"Origin": "https://studio.example.org"})
    message = problem(answer, 403)["message"]
    assert "'https://studio.example.org'" in message
    assert f"'127.0.0.1:{there.port}'" in message
    assert "--name" in message
    long = there.ask("POST", "/v1/streams", json={}, headers={"Origin": f"https://{'a' * 300}"})
    assert problem(long, 403)["code"] == "origin"
    assert "--name" in problem(there.ask("GET", "/", headers={"Host": "studio.example.org"}), 400)["message"]


ORIGINS_OF_OTHERS = [
    "null", "http://example.org", "https://127.0.0.1", "http://127.0.0.1", "http://localhost:{port}", "file://",
    "http://127.0.0.1:{port}.example.org", "http://example.org@127.0.0.1:{port}", "http://127.0.0.1:{port}/", "",
    "chrome-extension://abcdef", "http://127.0.0.1:1",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS_OF_OTHERS)
def test_other_origins_are_refused(there, origin):
    headers = {"Origin": origin.format(port=there.port)}
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/streams"),
        ("OPTIONS", "/v1/streams"),
        ("POST", "/login"),
    ):
        assert problem(there.ask(method, path, headers=headers, json={}), 403)["code"] == "origin"
    with pytest.raises(InvalidStatus) as caught:
        websockets.sync.client.connect(f"ws://127.0.0.1:{there.port}/v1/realtime/video", additional_headers=headers)
    assert caught.value.response.status_code == 403
    assert "origin" in caught.value.response.body.decode()


def test_own_origin_is_allowed(there):
    for host in ("127.0.0.1", "localhost"):
        headers = {
            "Host": f"{host}:{there.port}",
            "Origin": f"http://{host}:{there.port}",
            "Sec-Fetch-Site": "same-origin",
        }
        assert there.ask("GET", "/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_sec_fetch_site_is_checked(there, site):
    headers = {"Sec-Fetch-Site": site}
    assert problem(there.ask("GET", "/v1/models", headers=headers), 403)["code"] == "origin"
    assert there.ask("GET", "/", headers=headers).status_code == 200  # a link to the page


def test_duplicate_host_or_origin_is_refused(there):
    host = f"Host: 127.0.0.1:{there.port}\r\n".encode()
    raw_problem(there.raw(b"GET /v1/models HTTP/1.1\r\n" + host + host + b"Connection: close\r\n\r\n"), 400)
    origins = f"Origin: {there.url}\r\nOrigin: http://example.org\r\n".encode()
    raw_problem(there.raw(b"GET /v1/models HTTP/1.1\r\n" + host + origins + b"Connection: close\r\n\r\n"), 403)
    raw_problem(there.raw(b"GET /v1/models HTTP/1.0\r\n\r\n"), 400)


def test_websocket_needs_the_token(locked):
    address = f"ws://127.0.0.1:{locked.port}/v1/realtime/video"
    with pytest.raises(InvalidStatus) as caught:
        websockets.sync.client.connect(address)
    assert caught.value.response.status_code == 401
    with websockets.sync.client.connect(address, additional_headers=with_token()) as socket:
        socket.send('{"type": "session.start", "prompt": "x"}')
        assert '"video.start"' in socket.recv(10)


@pytest.mark.parametrize("path", ["/", "/page/nothing", "/v1/models", "/nothing", "/v1/streams"])
def test_every_response_has_security_headers(there, path):
    headers = there.ask("GET", path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control")]


def test_internal_errors_are_logged_and_not_shown(there, monkeypatch, caplog):
    def broken() -> bool:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(there.engine, "healthy", broken)
    answer = there.ask("GET", "/readyz")
    assert "secret" not in answer.text
    assert problem(answer, 500)["type"] == "server_error"
    assert "nosniff" in answer.headers["X-Content-Type-Options"]
    there.waits_until(lambda: "the secret of the house" in caplog.text)


def test_tokens_and_paths_are_not_logged(locked, capfd, caplog):
    caplog.set_level(0)
    locked.ask("GET", f"/v1/models?token={TOKEN}")
    locked.ask("GET", "/v1/models", headers=with_token())
    locked.ask("POST", "/login", json={"token": TOKEN})
    locked.raw(f"GET /?token={TOKEN} HTTQ/1.1\r\n\r\n".encode())
    said = capfd.readouterr()
    assert said.out + said.err == ""
    records = [one for one in caplog.records if one.name.startswith(("uvicorn", "videogen", "websockets"))]
    assert [one.getMessage() for one in records] == ["GET - 400", "GET /v1/models 200", "POST /login 204"]
    assert TOKEN not in str([vars(one) for one in records])


def test_errors_have_one_format(there):
    assert checked_problem(there.ask("GET", "/nothing").json())["type"] == "not_found"
