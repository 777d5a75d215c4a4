"""`videogen serve` as it is typed: every mistake in one line, and a server that comes and goes as it should."""

import asyncio
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pipeline.tiny import write_model
from videogen.cli import main
from videogen.serve.engine.job_store import DiskJobStore

command = importlib.import_module("videogen.cli.serve")  # the package's `serve` is the command itself
TOKEN = "correct horse battery staple"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("home") / "model")


@pytest.fixture(autouse=True)
def no_token_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(command.TOKEN, raising=False)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code, and the last line of what is said to people."""
    code = main(["serve", *arguments])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.splitlines()[-1]


def test_a_missing_extra_is_a_usage_error(capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None if name in ("uvicorn", "websockets") else object())
    code, line = said(capsys)
    assert code == 2
    assert line.startswith("videogen: the server needs uvicorn, websockets; `pip install -e '.[serve]'`")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "studio.example.org"])
def test_other_addresses_need_a_token(capsys, host):
    code, line = said(capsys, "--host", host)
    assert code == 2
    assert "give a token" in line


def test_a_weak_token_is_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv(command.TOKEN, "12345")
    code, line = said(capsys)
    assert (code, "at least 16" in line, "12345" in line) == (2, True, False)
    (tmp_path / "token").write_text("67890\n")
    code, line = said(capsys, "--token-file", str(tmp_path / "token"))
    assert (code, "at least 16" in line, "67890" in line) == (2, True, False)


def test_an_unreadable_token_file_is_an_error(capsys, tmp_path):
    code, line = said(capsys, "--token-file", str(tmp_path / "none"))
    assert code == 3
    assert "No such file" in line
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert said(capsys, "--token-file", str(tmp_path / "binary"))[0] == 3


def test_the_token_is_removed_from_the_environment(capsys, monkeypatch):
    monkeypatch.setenv(command.TOKEN, TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said(capsys, "--port", str(taken.getsockname()[1]))
    assert command.TOKEN not in os.environ


def test_a_token_file_readable_by_others_is_noted(capsys, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        main(["serve", "--token-file", str(tmp_path / "token"), "--port", str(taken.getsockname()[1])])
    noted = capsys.readouterr().err
    assert "chmod 600" in noted
    assert TOKEN not in noted


def test_a_taken_port_is_an_error_before_the_model_is_loaded(capsys, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, line = said(capsys, "--port", str(taken.getsockname()[1]), "--model", str(tmp_path / "none"))
    assert code == 5
    assert "choose another --port" in line


def test_a_folder_without_a_model_is_an_error(capsys, tmp_path):
    code, line = said(capsys, "--port", "0", "--model", str(tmp_path))
    assert code == 4
    assert str(tmp_path) in line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_until_a_signal(model, number, code):
    program = "import sys; from videogen.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["serve", "--model", str(model), "--port", "0", "--threads", "1", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, command.TOKEN: TOKEN},
    ) as process:
        assert process.stdout is not None
        lines = "".join(process.stdout.readline() for _ in range(4))
        url = json.loads(lines)["url"]
        process.send_signal(signal.SIGUSR1)  # restarts the model process, not the server
        assert httpx.get(f"{url}/v1/models", timeout=30).status_code == 401
        if (environment := Path(f"/proc/{process.pid}/environ")).exists():
            assert TOKEN.encode() not in environment.read_bytes(), "what it was started with can be read by others"
        answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
        assert answer.json()["data"][0]["width"] == 24
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == code
    assert out == ""
    assert err.splitlines()[-1] == "videogen: stopped"
    assert "Traceback" not in err
    assert re.fullmatch(rf"20\d\d-\d\d-\d\dT[\d:]{{8}}[+-]\d{{4}} INFO loading {model}", err.splitlines()[0])
    assert TOKEN not in err


def test_state_of_another_server_and_a_damaged_one(capsys, tmp_path):
    store = DiskJobStore(tmp_path)
    code, line = said(capsys, "--port", "0", "--state", str(tmp_path))
    assert (code, "in use by the server" in line) == (7, True)
    asyncio.run(store.close())
    (tmp_path / "jobs.sqlite3").write_bytes(b"not a database at all")
    code, line = said(capsys, "--port", "0", "--state", str(tmp_path))
    assert (code, "damaged" in line) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--tls-cert", "cert.pem"), 2, "belong together"),
        (("--tls-cert", "none.pem", "--tls-key", "none.pem"), 3, "none.pem: cannot be read"),
        (("--trusted-proxy", "proxy.example.org"), 2, "give an address or a network"),
        (("--check", "localhost:8000"), 2, "it must be an address such as"),
        (("--state", "/dev/null/state"), 3, "jobs cannot be kept there"),
    ],
)
def test_options_that_cannot_be_used(capsys, arguments, code, reason):
    found, line = said(capsys, "--port", "0", *arguments)
    assert (found, reason in line) == (code, True)


def test_the_log_as_json_has_the_error_too(capsys, tmp_path):
    code, line = said(capsys, "--port", "0", "--log-format", "json", "--model", str(tmp_path))
    record = json.loads(line)
    assert (code, record["level"], str(tmp_path) in record["message"]) == (4, "ERROR", True)
    assert os.environ.get("VIDEOGEN_LOG_FORMAT", "text") == "text"


@pytest.mark.slow
def test_jobs_survive_kill_9(model, tmp_path):
    """The real command, killed in the middle of a job, and started again: same id, same seed, same bytes."""
    arguments = ["--model", str(model), "--state", str(tmp_path / "state"), "--port", "0", "--threads", "1", "--json"]
    request = {"prompt": "x", "frames": 300}
    with running(*arguments) as (process, client):
        done = finished(client, client.post("/v1/videos", json={**request, "frames": 9}).json()["id"])
        film = client.get(f"/v1/videos/{done['id']}/content").content
        job = client.post("/v1/videos", json=request).json()
        while client.get(f"/v1/videos/{job['id']}").json()["progress"] < 10:
            time.sleep(0.02)
        process.kill()
    with running(*arguments) as (process, client):
        assert client.get(f"/v1/videos/{done['id']}").json() == done
        assert client.get(f"/v1/videos/{done['id']}/content").content == film
        again = finished(client, job["id"])
        assert (again["seed"], again["created_at"]) == (job["seed"], job["created_at"])
        same = finished(client, client.post("/v1/videos", json={**request, "seed": job["seed"]}).json()["id"])
        films = [client.get(f"/v1/videos/{each['id']}/content").content for each in (again, same)]
        assert films[0] == films[1]
        process.terminate()
    assert process.returncode == 143


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`videogen serve` until it is ended, and a client of it."""
    program = "import sys; from videogen.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads("".join(process.stdout.readline() for _ in range(4)))["url"]
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                yield process, client
            process.wait(60)
        finally:
            process.kill()


def finished(client: httpx.Client, id: str) -> dict[str, Any]:
    while (video := client.get(f"/v1/videos/{id}").json())["status"] in ("queued", "in_progress"):
        time.sleep(0.02)
    assert video["status"] == "completed", video
    return dict(video)
