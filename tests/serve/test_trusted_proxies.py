"""X-Forwarded-For, X-Forwarded-Proto and Forwarded: from trusted proxies alone, and only what these have added."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from tests.serve.served import served
from videogen.errors import UsageError
from videogen.serve.http.access.security import COOKIE, access_policy
from videogen.serve.http.access.trusted_proxies import forwarded, trusted_networks

TOKEN = "correct horse battery staple"
TRUSTED = trusted_networks(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


def changed(*headers: tuple[str, str], scheme: str = "http") -> tuple[Any, str]:
    """The address of the client, None if it stays that of the proxy; and the scheme."""
    found = forwarded(Headers(raw=[(name.lower().encode(), text.encode()) for name, text in headers]), scheme, TRUSTED)
    return found.get("client", (None,))[0], found.get("scheme", scheme)


FOR, PROTO, RFC = "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"
CASES = [
    ([], None, "http"),
    ([(FOR, "203.0.113.5")], "203.0.113.5", "http"),
    ([(FOR, "203.0.113.5"), (PROTO, "https")], "203.0.113.5", "https"),
    ([(PROTO, "https")], None, "https"),
    ([(FOR, "6.6.6.6, 203.0.113.5")], "203.0.113.5", "http"),
    ([(FOR, "6.6.6.6"), (FOR, "203.0.113.5")], "203.0.113.5", "http"),
    ([(FOR, "6.6.6.6, 203.0.113.5, 10.1.2.3"), (PROTO, "https")], "203.0.113.5", "https"),
    ([(FOR, "203.0.113.5, 10.1.2.3"), (PROTO, "https, http")], "203.0.113.5", "https"),
    ([(FOR, "10.1.2.3, 192.0.2.7")], "10.1.2.3", "http"),
    ([(FOR, "nonsense")], None, "http"),
    ([(FOR, "nonsense, 10.1.2.3")], "10.1.2.3", "http"),
    ([(FOR, "203.0.113.5:4711")], "203.0.113.5", "http"),
    ([(FOR, "[2001:db8::1]:4711")], "2001:db8::1", "http"),
    ([(FOR, "::ffff:203.0.113.5")], "203.0.113.5", "http"),
    ([(RFC, "for=203.0.113.5;proto=https;by=10.0.0.1")], "203.0.113.5", "https"),
    ([(RFC, 'For="[2001:db8::1]:80"; Proto=HTTPS')], "2001:db8::1", "https"),
    ([(RFC, 'for="6.6.6.6, for=203.0.113.5')], "203.0.113.5", "http"),
    ([(RFC, "for=unknown;proto=https")], None, "https"),
    ([(RFC, "for=203.0.113.5"), (FOR, "203.0.113.5")], "203.0.113.5", "http"),
    ([(RFC, "for=6.6.6.6;proto=https"), (FOR, "203.0.113.5"), (PROTO, "https")], None, "http"),
]


@pytest.mark.parametrize(("headers", "client", "scheme"), CASES)
def test_what_counts(headers, client, scheme):
    assert changed(*headers) == (client, scheme)
    assert changed(*headers, scheme="ws")[1] == scheme.replace("http", "ws")


@given(st.lists(st.text('0123456789abcdef.:[]", ;=for', max_size=40), max_size=3))
def test_nothing_that_a_client_sends_before_a_proxy_counts(sent):
    for name, added in ((FOR, "203.0.113.5"), (RFC, "for=203.0.113.5")):
        assert changed(*[(name, each) for each in sent], (name, added))[0] == "203.0.113.5"


def test_invalid_networks_are_refused():
    for wrong in ("proxy.example.org", "10.0.0.0/33", "10.0.0.1/8", ""):
        with pytest.raises(UsageError, match="--trusted-proxy"):
            trusted_networks([wrong])


@pytest.mark.parametrize(("proxy", "secure"), [("127.0.0.1", True), ("192.0.2.7", False)])
def test_a_server_behind_a_proxy(tmp_path, monkeypatch, proxy, secure):
    """The client and the scheme come from a trusted proxy; from others they are those of the connection."""
    owners = []
    with served(
        tmp_path, access_policy("127.0.0.1", (), TOKEN), root="/studio", proxies=trusted_networks([proxy])
    ) as there:
        submit = there.engine.submit

        async def noted(params, owner):
            owners.append(owner)
            return await submit(params, owner)

        monkeypatch.setattr(there.engine, "submit", noted)
        sent = {FOR: "203.0.113.5", PROTO: "https"}
        login = there.ask("POST", "/studio/login", json={"token": TOKEN}, headers=sent)
        assert ("Secure" in login.headers["set-cookie"]) == secure
        assert "Path=/studio/" in login.headers["set-cookie"]
        sent["Cookie"] = f"{COOKIE}={login.cookies[COOKIE]}"
        assert there.ask("POST", "/studio/v1/videos", json={"prompt": "x"}, headers=sent).status_code == 200
        assert owners == ["203.0.113.5" if secure else "127.0.0.1"]
