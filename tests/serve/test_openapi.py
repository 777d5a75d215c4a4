"""/openapi.json, and the API checked against it by schemathesis with all its checks."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.serve.fake_engine import INFO
from tests.serve.served import Served, served
from videogen.serve.http.access.security import access_policy
from videogen.serve.http.access.token_throttle import TokenThrottle

ROOT = Path(__file__).parent.parent.parent
TOKEN = "correct horse battery staple"
needs_schemathesis = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed: pip install schemathesis"
)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as there:
        yield there


def tried(there: Served, folder: Path, examples: int, *options: str) -> str:
    """The output of schemathesis; asserts that all checks pass."""
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    arguments = ["run", f"{there.url}/openapi.json", "--checks", "all", "--max-examples", str(examples), "--seed", "7"]
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--no-color", "--generation-database", "none", *options],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.serve.file_hooks"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert there.client.get("/healthz").status_code == 200
    return result.stdout


@needs_schemathesis
def test_few_examples_of_every_operation(there, tmp_path):
    said = tried(there, tmp_path, 2, "--phases", "fuzzing")
    assert "20 selected / 20 total" in said


@needs_schemathesis
@pytest.mark.slow
def test_many_examples_of_every_operation(there, tmp_path):
    tried(there, tmp_path, 100, "--exclude-path-regex", "^/v1/streams")


@needs_schemathesis
@pytest.mark.slow
def test_many_examples_of_streams(there, tmp_path):
    # A deleted stream can still be read, which this check forbids.
    tried(there, tmp_path, 100, "--include-path-regex", "^/v1/streams", "--exclude-checks", "use_after_free")


@needs_schemathesis
@pytest.mark.slow
def test_examples_with_a_token(tmp_path):
    access = replace(access_policy("127.0.0.1", (), TOKEN), token_throttle=TokenThrottle(longest=0.0))
    with served(tmp_path, access) as there:
        tried(there, tmp_path, 20, "--exclude-path-regex", "^/v1/streams", "--header", f"Authorization: Bearer {TOKEN}")


def test_document_describes_this_model(there):
    document = there.ask("GET", "/openapi.json").json()
    asked = document["paths"]["/v1/videos"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "properties"
    ]
    assert asked["size"]["anyOf"][0]["enum"] == ["24x16"]
    assert asked["model"]["anyOf"][0]["enum"] == [INFO.name]
    assert asked["steps"]["anyOf"][0]["maximum"] == there.engine.limits.steps
    assert asked["prompt"]["maxLength"] == there.engine.limits.prompt_chars
    assert "securitySchemes" not in document["components"]


def test_every_path_is_described(there):
    described = set(there.ask("GET", "/openapi.json").json()["paths"])
    pages = {"/", "/page/{name}", "/login", "/logout", "/openapi.json"}
    pages |= {"/v1/videos/edits", "/v1/videos/characters", "/v1/videos/{id}/remix"}  # they answer not_supported
    routes = {route.path for route in there.studio_routes() if not route.path.startswith("/{")}
    assert described == routes - pages - {"/v1/realtime/video"}


def test_token_is_described(tmp_path):
    with served(tmp_path, access_policy("127.0.0.1", (), TOKEN)) as there:
        document = there.ask("GET", "/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
        assert document["security"] == [{"token": []}]
        assert document["paths"]["/healthz"]["get"]["security"] == []
        assert TOKEN not in str(document)
