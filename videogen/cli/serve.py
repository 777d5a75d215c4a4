"""`videogen serve`: the studio in the browser, and its HTTP interface."""

import asyncio
import ctypes
import logging
import os
import stat
import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from videogen.cli.failures import Stopped
from videogen.cli.models import DEVICE, GENERATOR, PLACE, generator_at
from videogen.cli.terminal import Terminal, reports
from videogen.cli.train import THREADS
from videogen.errors import DataError, UsageError

if TYPE_CHECKING:
    from videogen.serve.http.access.security import Access
    from videogen.serve.http.server import StudioServer

TOKEN = "VIDEOGEN_TOKEN"
NEEDED = ("starlette", "uvicorn", "websockets", "python_multipart")


@click.command("serve")
@GENERATOR
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere than here with a token."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option("--token-file", type=PLACE, help=f"A file with the token that is asked for [env var: {TOKEN} itself].")
@click.option("--name", "names", multiple=True, help="Another host name that it is reached by; repeatable.")
@click.option("--root-path", default="", help="A path of a site that a proxy has put the server under; /studio.")
@click.option("--dtype", type=click.Choice(("float32", "bfloat16", "float16")), help="Of the prior.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@THREADS
@DEVICE
@reports
def serve(
    terminal: Terminal,
    model: Path | None,
    host: str,
    port: int,
    token_file: Path | None,
    names: tuple[str, ...],
    root_path: str,
    device: str,
    dtype: str | None,
    open_page: bool,
    threads: int | None,
) -> None:
    """Open the studio: a page to watch and steer videos while they are made, and an HTTP interface for programs.

    It listens on this machine alone, unless there is a token of at least 16 characters. Whoever has the token sees
    everybody's videos and prompts. Ctrl-C ends it; what is being watched ends with a whole piece.

    \b
    Examples:
      videogen serve --model runs/play --open
      openssl rand -hex 32 > token && videogen serve --host 0.0.0.0 --token-file token --name studio.example.org
      curl -N localhost:8000/v1/streams/ID/video | ffplay -
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"the server needs {', '.join(missing)}; `pip install -e '.[serve]'` in the checkout adds it")
    from videogen.serve.http.access.security import access_to
    from videogen.serve.http.root_path import checked_root
    from videogen.serve.log import log_on_stderr

    access, root = access_to(host, names, token_from(terminal, token_file)), checked_root(root_path)
    with log_on_stderr(terminal.quiet):
        stopped_by_ctrl_c = asyncio.run(
            run(terminal, generator_at(model), access, root, host, port, device, dtype, threads, open_page)
        )
    raise KeyboardInterrupt if stopped_by_ctrl_c else Stopped


def token_from(terminal: Terminal, file: Path | None) -> str | None:
    """From the file, or else from the environment, where no process of ours will find it again."""
    from_environment = taken_from_environment(TOKEN)
    if file is None:
        return None if from_environment is None else from_environment.strip()
    try:
        token, mode = file.read_text().strip(), file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: the token cannot be read ({getattr(error, 'strerror', None) or 'not text'})"
        ) from None
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        terminal.note(f"{file}: others on this machine can read the token; `chmod 600` it")
    return token


def taken_from_environment(name: str) -> str | None:
    """A variable's value, which is then nowhere in the environment: the system goes on showing to others what a process
    was started with, in /proc/PID/environ, until the memory that it lies in is overwritten."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place, value = getenv(name.encode()), os.environ.get(name)
    if place is not None and value is not None:
        ctypes.memset(place, 0, len(ctypes.string_at(place)))
    os.environ.pop(name, None)
    return value


async def run(
    terminal: Terminal,
    model: Path,
    access: "Access",
    root: str,
    host: str,
    port: int,
    device: str,
    dtype: str | None,
    threads: int | None,
    open_page: bool,
) -> bool:
    """Until a signal; whether it was Ctrl-C. The port is taken first: whether it is free is known at once."""
    from videogen.serve.engine.engine import Engine
    from videogen.serve.http.app import make_app
    from videogen.serve.http.app_context import open_studio
    from videogen.serve.http.connections import most_connections
    from videogen.serve.http.server import StudioServer, address_of, bound
    from videogen.serve.limits import ServerLimits

    with bound(host, port) as listener:
        most = most_connections()  # before anything else opens files
        logging.getLogger("videogen.serve").info("loading %s", model)
        engine = await Engine.start(model, ServerLimits(), device, threads, dtype)
        try:
            studio = open_studio(engine, access, root)
            server = StudioServer(make_app(studio), studio.closing, engine.limits.body_bytes, most)
            saying = asyncio.create_task(say_where(terminal, server, address_of(listener), engine.info.name, open_page))
            await server.serve([listener])
            saying.cancel()
        finally:
            await engine.close()
    return server.interrupted


async def say_where(terminal: Terminal, server: "StudioServer", address: str, model: str, open_page: bool) -> None:
    while not server.started:
        await asyncio.sleep(0.02)
    terminal.report({"url": address, "model": model}, f"{address} serves {model}; Ctrl-C ends it")
    if open_page:
        await asyncio.to_thread(webbrowser.open, address)
