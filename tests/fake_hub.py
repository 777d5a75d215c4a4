"""The part of the Hugging Face hub that models are fetched from and pushed to, on this machine.

with fake_hub(home, monkeypatch) as hub:
    ...
hub.files  # {repository: {commit: {name: bytes}}}
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TOKEN = "hf_of_a_test"
Files = dict[str, bytes]


class FakeHub:
    def __init__(self) -> None:
        self.files: dict[str, dict[str, Files]] = {}  # of each commit, which a branch names too
        self.private: set[str] = set()
        self.asked: list[str] = []  # "GET /path" of each request

    def commit(self, repository: str, files: Files, branch: str = "main") -> str:
        known = self.files[repository]
        known[branch] = {**known.get(branch, {}), **files}
        number = hashlib.sha1(json.dumps([branch, len(known)]).encode()).hexdigest()
        known[number] = dict(known[branch])
        return number

    def named(self, repository: str, revision: str) -> tuple[str, Files] | None:
        """The commit that a branch or a commit names, and its files."""
        files = self.files.get(repository, {}).get(revision)
        if files is None:
            return None
        return next(name for name, those in self.files[repository].items() if len(name) == 40 and those == files), files


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            repository, revision = "/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main"
        else:
            repository, revision = "/".join(parts[:2]), parts[3]
        if repository not in self.hub.files:
            return self.answer({}, 404, **{"X-Error-Code": "RepoNotFound"})
        if (found := self.hub.named(repository, revision)) is None:
            return self.answer({}, 404, **{"X-Error-Code": "RevisionNotFound"})
        commit, files = found
        if parts[:2] == ["api", "models"] and "tree" in parts:
            tree = [{"type": "file", "path": name, "size": len(data), "oid": commit} for name, data in files.items()]
            return self.answer(tree)
        if parts[:2] == ["api", "models"]:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            private = repository in self.hub.private
            return self.answer({"id": repository, "sha": commit, "private": private, "siblings": siblings})
        data = files["/".join(parts[4:])]
        return self.answer(data, **{"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})

    def do_POST(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({}, 401)
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            given = json.loads(body)
            repository = f"{given.get('organization') or 'owner'}/{given['name']}"
            if repository.startswith("others/"):
                return self.answer({}, 403)
            if repository in self.hub.files:
                return self.answer({"url": f"/{repository}"}, 409)
            self.hub.files[repository] = {}
            self.hub.commit(repository, {".gitattributes": b""})
            if given.get("private") or given.get("visibility") == "private":
                self.hub.private.add(repository)
            return self.answer({"url": f"{self.server_url}/{repository}"})
        if parts == ["api", "validate-yaml"]:  # of a model card
            return self.answer({"errors": [], "warnings": []})
        repository, branch = "/".join(parts[2:4]), parts[5]
        if parts[4] == "preupload":
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            return self.answer({"files": files})
        rows = [json.loads(line) for line in body.splitlines()]
        added = {
            row["value"]["path"]: base64.b64decode(row["value"]["content"]) for row in rows if row["key"] == "file"
        }
        commit = self.hub.commit(repository, added, branch)
        return self.answer({"commitUrl": f"{self.server_url}/{repository}/commit/{commit}", "commitOid": commit})

    @property
    def server_url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def fake_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that `huggingface_hub` talks to, with an empty cache in `home` and nobody logged in."""
    from huggingface_hub import constants

    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HandlerOfThis", (Handler,), {"hub": hub}))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "tokens"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
