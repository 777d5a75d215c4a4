"""Model processes in a Ray cluster: the same server, and the same bytes."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.serve.scenes import RING, STAR, finished, pieces_of, until
from videogen.errors import UsageError
from videogen.executors.ray_cluster import check_reachable
from videogen.serve.engine.engine import Engine
from videogen.serve.engine.launcher import ModelProcessLauncher
from videogen.serve.engine.ray_launcher import (
    SECRET_BYTES,
    ray_launchers,
    receive_greeting,
)
from videogen.serve.limits import ServerLimits
from videogen.serve.requests import GenerationParams

PARAMS = GenerationParams(RING, seed=3, frames=61)


def test_only_the_actor_with_the_secret_is_connected():
    async def scene():
        secret = secrets.token_bytes(SECRET_BYTES)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            address = listener.getsockname()
            for said in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(SECRET_BYTES + 4), secret[:-1]):
                with socket.create_connection(address) as other:
                    other.sendall(said)
            with socket.create_connection(address) as actor:
                actor.sendall(secret[:5])
                greeting = asyncio.create_task(receive_greeting(listener, secret))
                await asyncio.sleep(0.05)
                actor.sendall(secret[5:] + (4711).to_bytes(4, "big"))
                connection, pid = await greeting
                with connection:
                    assert (connection.getpeername(), pid) == (actor.getsockname(), 4711)

    asyncio.run(scene())


def test_what_cannot_be_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UsageError, match="pip install"), ray_launchers(tmp_path, "cpu", None, None, 1, None):
        pass
    with pytest.raises(UsageError, match="on a machine of"), ray_launchers(tmp_path, "cpu", None, 1, 1, "ray://x:1"):
        pass
    with pytest.raises(UsageError, match="cuda:1"), ray_launchers(tmp_path, "cuda:1", None, None, 2, None):
        pass
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        with pytest.raises(UsageError, match="refused"):
            check_reachable(f"127.0.0.1:{unheard.getsockname()[1]}")
    check_reachable("auto")


@pytest.mark.services
def test_actor_that_is_killed_changes_no_bytes(tiny_model_folder):
    """Jobs and streams are those of a process of this machine, also of an actor that is started again."""
    pytest.importorskip("ray")

    async def local():
        engine = await Engine.open(ServerLimits(), [ModelProcessLauncher(tiny_model_folder, None, None, 1)])
        video = (await finished(await engine.submit(PARAMS))).content().read_bytes()
        stream = await pieces_of(await engine.open_stream(GenerationParams(STAR, seed=4, frames=41)))
        await engine.close()
        return video, b"".join(stream)

    async def scene(launchers, video, watched):
        engine = await Engine.open(ServerLimits(), launchers)
        job = await engine.submit(PARAMS)
        other = await engine.open_stream(GenerationParams(STAR, seed=4, frames=41))
        told = await engine.open_stream(GenerationParams(STAR, seed=5))
        seen = asyncio.create_task(pieces_of(other))
        async with told.watch_video() as pieces:
            await until(lambda: job.stream.frames_made > 0)
            number = next(n for n, each in enumerate(engine.replicas) if job.id in each.streams)
            os.kill(int(engine.replicas[number].supervisor.child.process.pid.split()[0]), signal.SIGKILL)
            await until(lambda: pieces.closed)
        assert told.status == "failed"
        assert (await finished(job)).content().read_bytes() == video
        assert b"".join(await seen) == watched
        await until(lambda: engine.replicas[number].supervisor.restarts == 1, 300)  # an actor starts slowly
        engine.kill_model(replica=1 - number)
        assert (await finished(await engine.submit(PARAMS))).content().read_bytes() == video
        await engine.close()

    expected = asyncio.run(local())
    with ray_launchers(tiny_model_folder, "cpu", None, 1, 2, None) as launchers:
        asyncio.run(scene(launchers, *expected))


@pytest.mark.services
def test_server_on_a_cluster(tiny_model_folder):
    pytest.importorskip("ray")
    command = [
        "serve",
        "--model",
        str(tiny_model_folder),
        "--port",
        "0",
        "--engine",
        "ray",
        "--replicas",
        "2",
        "--json",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "videogen", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads("".join(process.stdout.readline() for _ in range(4)))["url"]
        with httpx.Client(base_url=url, timeout=60) as client:
            video = client.post("/v1/videos", json={"prompt": RING, "seconds": "2"}).json()
            while (video := client.get(f"/v1/videos/{video['id']}").json())["status"] in ("queued", "in_progress"):
                time.sleep(0.05)
            assert video["status"] == "completed"
            part = client.get(f"/v1/videos/{video['id']}/content", headers={"Range": "bytes=4-7"})
            assert (part.status_code, part.content) == (206, b"ftyp")
            process.send_signal(signal.SIGUSR1)
            while "videogen_model_restarts_total 2" not in client.get("/metrics").text:
                time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, out) == (143, "")
    assert err.splitlines()[-1] == "videogen: stopped"
    assert "Traceback" not in err
