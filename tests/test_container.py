"""The container file copies what is there and starts what the server offers; no image is built here."""

import json
from pathlib import Path

from videogen.cli import videogen_command
from videogen.cli.serve import serve

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
STEPS = [line.split(maxsplit=1) for line in TEXT.splitlines() if line[:1].isalpha() or line[:1] == " "]


def arguments(instruction: str) -> list[str]:
    return [rest for word, rest in STEPS if word == instruction]


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {name for step in arguments("COPY") for name in step.split()[:-1]}
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    packages = {place.parent.name for place in ROOT.glob("*/py.typed")}
    links = {place.resolve().relative_to(ROOT).parts[0] for place in ROOT.glob("videogen/*") if place.is_symlink()}
    assert packages | links <= copied


def test_what_is_started_exists() -> None:
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["videogen"]
    command, *flags = json.loads(arguments("CMD")[0])
    assert videogen_command.commands[command] is serve
    known = {name for option in serve.params for name in option.opts}
    assert {flag for flag in flags if flag.startswith("--")} <= known


def test_the_check_asks_the_port_that_is_served() -> None:
    check = json.loads(arguments("HEALTHCHECK")[0].partition("CMD ")[2])
    assert check == ["videogen", "serve", "--check", f"http://127.0.0.1:{arguments('EXPOSE')[0]}"]
    assert {"--check", "--port"} <= {name for option in serve.params for name in option.opts}
    assert next(option for option in serve.params if option.name == "port").default == int(arguments("EXPOSE")[0])
