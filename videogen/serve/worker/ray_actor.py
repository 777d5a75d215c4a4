"""The model process as a Ray actor: the worker, with a connection that it opens itself."""

import os
import socket
from typing import Any

from videogen.serve.messages import MessageSocket

CONNECT_SECONDS = 30.0
SILENCE = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
}  # seconds, and tries: then the other machine is gone


class ModelActor:
    """One model process; it ends with its only call."""

    def run(self, address: tuple[str, int], secret: bytes, options: dict[str, Any]) -> int:
        """Serve the process at the address until it closes the connection; returns the exit code."""
        from videogen.serve.worker.worker import serve_model

        with socket.create_connection(address, CONNECT_SECONDS) as connection:
            connection.settimeout(None)
            prepare(connection)
            connection.sendall(secret + os.getpid().to_bytes(4, "big"))
            return serve_model(MessageSocket(connection), options)


def prepare(connection: socket.socket) -> None:
    """Send small messages at once, and notice a machine that is gone."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SILENCE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
