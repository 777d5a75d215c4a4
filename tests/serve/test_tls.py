"""HTTPS by the server itself: the page, cookies, WebSockets, and files that cannot be used."""

import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
import websockets.sync.client

from tests.serve.served import served
from videogen.cli.health_check import check_health
from videogen.errors import DataError, UsageError, VideogenError
from videogen.serve.http.access.security import access_policy
from videogen.serve.http.tls import TlsFiles, tls_files

TOKEN = "correct horse battery staple"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def make_certificate(folder: Path) -> TlsFiles:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = TlsFiles(folder / "cert.pem", folder / "key.pem")
    what = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run([openssl, "req", *what, *name, *files], check=True, capture_output=True)
    return made


def test_page_login_and_websocket(tls, tmp_path):
    with served(tmp_path, access_policy("127.0.0.1", (), TOKEN), tls=tls_files(tls.certificate, tls.key)) as there:
        assert there.url.startswith("https://")
        assert "<html" in there.ask("GET", "/").text
        cookie = there.ask("POST", "/login", json={"token": TOKEN}, headers={"Origin": there.url}).headers["set-cookie"]
        assert "Secure" in cookie
        assert there.ask("GET", "/v1/models").status_code == 200, "the client sends the cookie back"
        with websockets.sync.client.connect(
            there.url.replace("https", "wss") + "/v1/realtime/video",
            ssl=ssl.create_default_context(cafile=tls.certificate),
            additional_headers={"Cookie": cookie.partition(";")[0], "Origin": there.url},
        ) as socket:
            socket.send('{"type": "session.start", "prompt": "x"}')
            assert '"video.start"' in socket.recv(10)
        check_health(there.url)
        with pytest.raises(httpx.TransportError):
            httpx.get(there.url.replace("https", "http"))
        assert there.ask("GET", "/health").status_code == 200, "a client without TLS harms nobody"
        there.engine.supervises = False
        with pytest.raises(VideogenError, match="not healthy \\(status 503\\)"):
            check_health(there.url)
    with pytest.raises(VideogenError, match="not healthy"):
        check_health(there.url)
    with pytest.raises(UsageError):
        check_health("file:///etc/hostname")


def test_files_that_cannot_be_used(tls, tmp_path):
    assert tls_files(None, None) is None
    other = make_certificate(tmp_path)
    for files, kind, reason in (
        ((tls.certificate, None), UsageError, "belong together"),
        ((None, tls.key), UsageError, "belong together"),
        ((tls.certificate, tmp_path / "none"), DataError, "No such file"),
        ((tls.certificate, other.key), DataError, "not that of the certificate"),
        ((tls.key, tls.certificate), DataError, "PEM"),
    ):
        with pytest.raises(kind, match=reason) as caught:
            tls_files(*files)
        assert "\n" not in str(caught.value)
    encrypted = tmp_path / "encrypted.pem"
    subprocess.run(
        ["openssl", "pkey", "-in", str(other.key), "-aes128", "-passout", "pass:secret", "-out", str(encrypted)],
        check=True,
    )
    with pytest.raises(DataError, match="encrypted"):
        tls_files(other.certificate, encrypted)
