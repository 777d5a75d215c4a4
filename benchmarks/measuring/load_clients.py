"""A server process, and clients that watch one of its streams over HTTP."""

import asyncio
import json
import os
import random
import re
import socket
import struct
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TINY_BUFFER = 4096  # bytes of the receive buffer of a stalled client


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Server:
    """A running `videogen serve`."""

    def __init__(self, model: Path):
        self.model, self.port, self.peak = model, 0, 0

    async def __aenter__(self) -> "Server":
        command = ["-m", "videogen", "serve", "--model", str(self.model), "--port", "0", "--threads", "1"]
        self.process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode()
        found = re.search(r"http://[^ /]+:(\d+)", line)
        assert found is not None, f"the server did not say where it is: {line!r}"
        self.port = int(found[1])
        return self

    async def __aexit__(self, *how: object) -> None:
        self.process.terminate()
        await self.process.wait()

    def state(self) -> dict[str, int]:
        """Resident memory and open descriptors of the web process; also updates the peak."""
        place = Path(f"/proc/{self.process.pid}")
        pages = int(place.joinpath("statm").read_text().split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        self.peak = max(self.peak, memory)
        return {"memory": memory, "descriptors": sum(1 for _ in place.joinpath("fd").iterdir())}

    async def open_stream(self, prompt: str) -> str:
        made = json.loads(await self.request("POST", "/v1/streams", {"prompt": prompt, "seed": 1}))
        return str(made["id"])

    async def end_stream(self, stream: str) -> None:
        await self.request("DELETE", f"/v1/streams/{stream}")

    async def metrics(self) -> dict[str, float]:
        lines = (await self.request("GET", "/metrics")).decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removesuffix("_total"): float(value) for name, value in pairs}

    async def request(self, method: str, path: str, body: Any = None) -> bytes:
        reader, writer = await self.send_request(method, path, body)
        try:
            return b"".join([part async for part in read_chunks(reader)])
        finally:
            writer.close()

    async def send_request(
        self, method: str, path: str, body: Any = None, room: int | None = None
    ) -> tuple[StreamReader, StreamWriter]:
        """Sends a request; the caller reads the response."""
        connection = socket.socket()
        if room is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=room or 2**16)
        data = b"" if body is None else json.dumps(body).encode()
        lines = (
            f"{method} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
            "Connection: close",
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + data)
        return reader, writer


async def read_chunks(reader: StreamReader) -> AsyncIterator[bytes]:
    """The body of a response, chunk by chunk."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.split()[1][0] == "2", head
    if "transfer-encoding: chunked" not in head:
        yield await reader.read(-1)
        return
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readline()


@dataclass
class ReceivedFrames:
    """Numbers of the frames that a viewer received, and the time of each fragment."""

    numbers: list[int] = field(default_factory=list)
    times: dict[int, float] = field(default_factory=dict)

    def add(self, fragment: bytes) -> None:
        """Reads the number of frames and the number of the first from the boxes of a fragment."""
        place = 0
        while place < len(fragment):
            size, kind = struct.unpack_from(">I4s", fragment, place)
            if kind == b"moof":
                (sequence,) = struct.unpack_from(">I", fragment, place + 20)
                run = fragment.index(b"trun", place)
                (count,) = struct.unpack_from(">I", fragment, run + 8)
                self.numbers += range(sequence - 1, sequence - 1 + count)
                self.times[sequence - 1] = asyncio.get_running_loop().time()
            place += size


class ViewerCrowd:
    """Three fifths of the viewers stay to the end, a fifth stalls, a fifth leaves at a random time."""

    def __init__(self, server: Server, stream: str, viewers: int, seconds: float, seed: int = 0):
        self.server, self.path, self.seconds = server, f"/v1/streams/{stream}/video", seconds
        self.others, self.draw = viewers // 5, random.Random(seed)
        self.watching = 0  # by the server's own count, shortly before the end
        self.good = [ReceivedFrames() for _ in range(viewers - 2 * self.others)]

    async def watch(self) -> None:
        staying = [asyncio.create_task(self._stay(seen)) for seen in self.good]
        others = [asyncio.create_task(self._stall()) for _ in range(self.others)]
        others += [asyncio.create_task(self._leave()) for _ in range(self.others)]
        until = asyncio.get_running_loop().time() + self.seconds
        while asyncio.get_running_loop().time() < until:
            self.server.state()
            await asyncio.sleep(0.5)
        self.watching = int((await self.server.metrics())["videogen_viewers"])
        for task in staying + others:
            task.cancel()
        for result in await asyncio.gather(*staying, *others, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _stay(self, seen: ReceivedFrames) -> None:
        reader, writer = await self.server.send_request("GET", self.path)
        try:
            async for part in read_chunks(reader):
                seen.add(part)
        finally:
            writer.close()

    async def _stall(self) -> None:
        """Sends the request and reads nothing."""
        _, writer = await self.server.send_request("GET", self.path, room=TINY_BUFFER)
        try:
            await asyncio.Event().wait()
        finally:
            writer.transport.abort()

    async def _leave(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.draw.uniform(0, self.seconds)):
                await self._stay(ReceivedFrames())

    def figures(self) -> dict[str, Any]:
        """Frames that the staying viewers missed, and their delay behind the first viewer of each fragment."""
        ends = [seen.numbers[-1] for seen in self.good]
        gaps = sum(seen.numbers != list(range(seen.numbers[0], seen.numbers[-1] + 1)) for seen in self.good)
        first = {
            number: min(seen.times[number] for seen in self.good if number in seen.times) for number in self._all()
        }
        late = [when - first[number] for seen in self.good for number, when in seen.times.items()]
        return {
            "good_viewers": len(self.good),
            "watching_at_the_end": self.watching,
            "frames": max(ends) + 1,
            "viewers_with_gaps": gaps,
            "frames_behind_at_the_end": max(max(ends) - end for end in ends),
            "later_than_the_first_ms_p99": round(1000 * quantile(late, 0.99), 1),
        }

    def _all(self) -> set[int]:
        return {number for seen in self.good for number in seen.times}
