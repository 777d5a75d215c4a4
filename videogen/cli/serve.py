"""`videogen serve`: the studio page and the HTTP API."""

import asyncio
import ctypes
import logging
import os
import signal
import stat
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from videogen.cli.engine_options import ENGINE
from videogen.cli.exit_codes import Stopped
from videogen.cli.health_check import check_health
from videogen.cli.options import DEVICE, DTYPE, MODEL, THREADS, model_or_bundled
from videogen.cli.param_types import ANY_PATH
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import DataError, UsageError, VideogenError
from videogen.serve.log import LOG_FORMAT, log_on_stderr

if TYPE_CHECKING:
    from videogen.serve.engine.launcher import Launcher
    from videogen.serve.http.access.security import AccessPolicy
    from videogen.serve.http.access.trusted_proxies import Networks
    from videogen.serve.http.server import StudioServer
    from videogen.serve.http.tls import TlsFiles

TOKEN = "VIDEOGEN_TOKEN"
NEEDED = ("starlette", "uvicorn", "websockets", "python_multipart")


@click.command("serve")
@MODEL
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; other than this machine needs a token.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port.")
@click.option("--token-file", type=ANY_PATH, help=f"A file with the access token [env var: {TOKEN}, the token itself].")
@click.option("--name", "names", multiple=True, help="Another host name of the server; repeatable.")
@click.option("--root-path", default="", help="Path of the server behind a proxy, such as /studio.")
@click.option("--replicas", type=click.IntRange(1), default=1, show_default=True, help="Number of model processes.")
@ENGINE
@click.option("--address", help="The Ray cluster, HOST:PORT or auto [default: $RAY_ADDRESS, or a new one here].")
@click.option("--state", type=ANY_PATH, help="A folder that keeps jobs and their videos over restarts.")
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS|NETWORK",
    help="A proxy whose X-Forwarded-For, X-Forwarded-Proto and Forwarded count; repeatable.",
)
@click.option("--tls-cert", type=ANY_PATH, help="A certificate in PEM format: serve HTTPS.")
@click.option("--tls-key", type=ANY_PATH, help="The key of the certificate.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    envvar=LOG_FORMAT,
    default="text",
    show_default=True,
    help=f"json: a JSON object in each line, one for each request too [env var: {LOG_FORMAT}].",
)
@click.option("--check", metavar="URL", help="Only ask the server at this address whether it works: exit 0 or 1.")
@DTYPE
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@THREADS
@DEVICE
@terminal_options
def serve(
    terminal: Terminal,
    model: Path | None,
    host: str,
    port: int,
    token_file: Path | None,
    names: tuple[str, ...],
    root_path: str,
    replicas: int,
    engine: str,
    address: str | None,
    state: Path | None,
    proxies: tuple[str, ...],
    tls_cert: Path | None,
    tls_key: Path | None,
    log_format: str,
    check: str | None,
    device: str,
    dtype: str | None,
    open_page: bool,
    threads: int | None,
) -> None:
    """Serve the studio: a page to watch and steer videos while they are generated, and an HTTP API for programs.

    It listens on this machine alone unless there is a token of at least 16 characters. Everyone with the token sees all
    videos and prompts. Ctrl-C stops the server; streams end with a whole fragment.

    With --replicas, --device cuda means cuda:0, cuda:1 and so on, and each process has its own --threads. `kill -USR1`
    restarts the model processes one after the other; no job is lost.

    \b
    Examples:
      videogen serve --model runs/play --open
      openssl rand -hex 32 > token && videogen serve --host 0.0.0.0 --token-file token --name studio.example.org
      videogen serve --replicas 4 --device cuda
      curl -N localhost:8000/v1/streams/ID/video | ffplay -
    """
    if check is not None:
        check_health(check)
        return
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"the server needs {', '.join(missing)}; `pip install -e '.[serve]'` in the checkout adds it")
    from videogen.serve.http.access.security import access_policy
    from videogen.serve.http.access.trusted_proxies import trusted_networks
    from videogen.serve.http.root_path import normalize_root_path
    from videogen.serve.http.tls import tls_files

    model = model_or_bundled(model)
    with log_on_stderr(terminal.quiet, log_format), end_in_log(log_format):
        processes = model_processes(engine, address, model, device, dtype, threads, replicas)
        token, tls = read_token(terminal, token_file), tls_files(tls_cert, tls_key)
        if tls is not None:
            note_if_public(terminal, tls.key, "the key")
        access, root = access_policy(host, names, token), normalize_root_path(root_path)
        binding = Binding(access, root, host, port, trusted_networks(proxies), tls)
        stopped_by_ctrl_c = asyncio.run(run(terminal, model, binding, state, processes, open_page))
        raise KeyboardInterrupt if stopped_by_ctrl_c else Stopped


@dataclass(frozen=True)
class Binding:
    """Where and for whom the server is reachable."""

    access: "AccessPolicy"
    root: str
    host: str
    port: int
    proxies: "Networks"
    tls: "TlsFiles | None"


@contextmanager
def end_in_log(log_format: str) -> Iterator[None]:
    """With JSON, the last line is a record too."""
    try:
        yield
    except (VideogenError, Stopped, KeyboardInterrupt) as error:
        if log_format == "text":
            raise
        failed = isinstance(error, VideogenError)
        code = getattr(error, "exit_code", 130)
        level = logging.ERROR if failed else logging.INFO
        logging.getLogger("videogen.serve").log(level, "%s", error if failed else "stopped")
        raise click.exceptions.Exit(code) from None


def read_token(terminal: Terminal, file: Path | None) -> str | None:
    """The token in the file, or in the environment, from which it is removed."""
    from_environment = pop_from_environment(TOKEN)
    if file is None:
        return None if from_environment is None else from_environment.strip()
    try:
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: the token cannot be read ({getattr(error, 'strerror', None) or 'not text'})"
        ) from None
    note_if_public(terminal, file, "the token")
    return token


def note_if_public(terminal: Terminal, file: Path, what: str) -> None:
    if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        text = f"{file}: other users of this machine can read {what}; run `chmod 600`"
        if os.environ.get(LOG_FORMAT) == "json":
            logging.getLogger("videogen.serve").warning("%s", text)
        else:
            terminal.note(text)


def pop_from_environment(name: str) -> str | None:
    """The value of a variable, which is removed from the environment and overwritten in memory.

    The system shows the environment that a process started with in /proc/PID/environ until that memory is overwritten.
    """
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place, value = getenv(name.encode()), os.environ.get(name)
    if place is not None and value is not None:
        ctypes.memset(place, 0, len(ctypes.string_at(place)))
    os.environ.pop(name, None)
    return value


@contextmanager
def model_processes(
    engine: str,
    address: str | None,
    model: Path,
    device: str,
    dtype: str | None,
    threads: int | None,
    replicas: int,
) -> Iterator["Sequence[Launcher]"]:
    """What starts each model process; with Ray, while there is a connection to the cluster."""
    from videogen.serve.engine.launcher import local_launchers
    from videogen.serve.engine.ray_launcher import ray_launchers

    if engine == "ray":
        with ray_launchers(model, device, dtype, threads, replicas, address) as launchers:
            yield launchers
    elif address is not None:
        raise UsageError("--address is for --engine ray")
    else:
        yield local_launchers(model, device, dtype, threads, replicas)


async def run(
    terminal: Terminal,
    model: Path,
    binding: Binding,
    state: Path | None,
    processes: "AbstractContextManager[Sequence[Launcher]]",
    open_page: bool,
) -> bool:
    """Serve until a signal; returns whether it was Ctrl-C. Binds the port first, to fail early if it is taken."""
    from videogen.serve.engine.engine import Engine
    from videogen.serve.engine.job_store import DiskJobStore
    from videogen.serve.http.app import make_app
    from videogen.serve.http.app_context import make_context
    from videogen.serve.http.connections import connection_limit
    from videogen.serve.http.server import StudioServer, bind, url_of
    from videogen.serve.limits import ServerLimits

    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until there is something to restart
    with bind(binding.host, binding.port) as listener, processes as launchers:
        most = connection_limit()  # before anything else opens files
        store = None if state is None else DiskJobStore(state)
        logging.getLogger("videogen.serve").info("loading %s", model)
        engine = await Engine.open(ServerLimits(), launchers, store)
        try:
            # not SIGHUP, which ends a server whose terminal is closed
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, engine.replicas.restart)
            context = make_context(engine, binding.access, binding.root, binding.proxies)
            server = StudioServer(make_app(context), context.closing, engine.limits.body_bytes, most, binding.tls)
            address = url_of(listener, tls=binding.tls is not None)
            saying = asyncio.create_task(print_address(terminal, server, address, engine.info.name, open_page))
            await server.serve([listener])
            saying.cancel()
        finally:
            await engine.close()
    return server.interrupted


async def print_address(terminal: Terminal, server: "StudioServer", address: str, model: str, open_page: bool) -> None:
    while not server.started:
        await asyncio.sleep(0.02)
    terminal.report({"url": address, "model": model}, f"{address} serves {model}; Ctrl-C ends it")
    if open_page:
        await asyncio.to_thread(webbrowser.open, address)
