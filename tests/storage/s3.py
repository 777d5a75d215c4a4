"""A real S3 server on this machine, and a proxy before it that breaks connections."""

import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """Serves the folders in `folder` as buckets; yields the port."""
    port = free_port()
    program = Path(sys.executable).with_name("rclone")
    command = [program, "serve", "s3", "--auth-key", "key,secret-secret", folder, "--addr", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not is_open(port):
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class BreakingProxy:
    """Passes bytes on to a port; while `breaks` are left, cuts connections, or lets them hang, at random places."""

    def __init__(self, target: int, breaks: int, hangs: int = 0, seed: int = 0) -> None:
        self.target, self.breaks, self.hangs, self.broken = target, breaks, hangs, 0
        self._rng, self._lock = random.Random(seed), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        budget = self._rng.randrange(6_000)
        with suppress(OSError):
            while data := source.recv(4096):
                budget -= len(data)
                if is_answer and budget < 0 and (how := self._take()):
                    sink.sendall(data[: len(data) // 2])
                    if how == "hang":
                        time.sleep(3600)
                    break
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _take(self) -> str | None:
        with self._lock:
            if self.broken < self.breaks:
                self.broken += 1
                return "hang" if self.broken <= self.hangs else "cut"
            return None
