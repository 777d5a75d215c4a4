"""recipes/deploy/nginx.conf with a real nginx in front of a server: TLS, cookies, ranges, streams, WebSockets."""

import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets.sync.client

from tests.serve.served import Served, served
from tests.serve.test_tls import TOKEN, make_certificate
from videogen.serve.http.access.security import access_policy
from videogen.serve.http.access.trusted_proxies import trusted_networks
from videogen.serve.http.tls import TlsFiles
from videogen.serve.log import log_on_stderr

RECIPE = Path(__file__).parents[2] / "recipes" / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
MAIN = "daemon off; pid {0}/pid; error_log stderr; events {{}}\nhttp {{ access_log off; {1}\ninclude {0}/site.conf; }}"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["", "/studio"])
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    access, proxies = access_policy("127.0.0.1", (), TOKEN), trusted_networks(["127.0.0.1"])
    with served(tmp_path_factory.mktemp("served"), access, root=request.param, proxies=proxies) as there:
        yield there


@pytest.fixture(scope="module")
def site(there: Served, tls: TlsFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx with the recipe, of which only names, ports and places are changed."""
    assert NGINX is not None
    folder, recipe = tmp_path_factory.mktemp("nginx"), RECIPE.read_text()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8000", f"127.0.0.1:{there.port}"),
        ("/etc/ssl/studio.example.org/fullchain.pem", str(tls.certificate)),
        ("/etc/ssl/studio.example.org/privkey.pem", str(tls.key)),
        ("location / {", f"location {there.studio.root}/ {{"),
    ):
        assert old in recipe
        recipe = recipe.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "site.conf").write_text(recipe)
    (folder / "nginx.conf").write_text(MAIN.format(folder, " ".join(f"{kind}_temp_path {folder};" for kind in kinds)))
    with subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)]) as process:
        while process.poll() is None and not listens(port):
            time.sleep(0.01)
        assert process.poll() is None
        try:
            yield f"https://127.0.0.1:{port}{there.studio.root}"
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_everything_works_behind_nginx(there, site, tls, capsys):
    trust = ssl.create_default_context(cafile=tls.certificate)
    origin = site.removesuffix("/studio")
    transport = httpx.HTTPTransport(verify=trust, local_address="127.0.0.2")  # what nginx reports as the client
    with log_on_stderr(log_format="json"), httpx.Client(transport=transport, timeout=30) as client:
        client.headers["Origin"] = origin
        assert "<html" in client.get(f"{site}/").text
        assert client.get(f"{site}/v1/models").status_code == 401
        cookie = client.post(f"{site}/login", json={"token": TOKEN}).headers["set-cookie"]
        assert "Secure" in cookie
        spoofed = {"X-Forwarded-For": "6.6.6.6", "Forwarded": "for=6.6.6.6", "X-Forwarded-Proto": "http"}
        assert client.get(f"{site}/v1/models", headers=spoofed).status_code == 200

        video = client.post(f"{site}/v1/videos", json={"prompt": "x"}).json()["id"]
        while client.get(f"{site}/v1/videos/{video}").json()["status"] != "completed":
            time.sleep(0.01)
        whole = client.get(f"{site}/v1/videos/{video}/content").content
        part = client.get(f"{site}/v1/videos/{video}/content", headers={"Range": "bytes=4-9"})
        assert (part.status_code, part.content) == (206, whole[4:10])

        clip = {"clip": ("clip.mp4", bytes(3 * 2**20))}
        stream = client.post(f"{site}/v1/streams", data={"prompt": "x"}, files=clip).json()
        assert there.engine.uploads[-1][1] == 3 * 2**20
        there.engine.endless = True
        with client.stream("GET", origin + stream["urls"]["video"]) as film:
            assert next(film.iter_raw()), "it arrives while it is generated"
        there.engine.endless = False
        address, headers = site.replace("https", "wss"), {"Cookie": cookie.partition(";")[0], "Origin": origin}
        with websockets.sync.client.connect(
            f"{address}/v1/realtime/video", ssl=trust, additional_headers=headers, source_address=("127.0.0.2", 0)
        ) as realtime:
            realtime.send('{"type": "session.start", "prompt": "x"}')
            assert '"video.start"' in realtime.recv(10)
        there.waits_until(lambda: not there.server.server_state.tasks)
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {one["client"] for one in records} == {"127.0.0.2"}
    assert {one["status"] for one in records} >= {101, 200, 201, 206, 401}
