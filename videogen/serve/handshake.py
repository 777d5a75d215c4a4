"""Which requests are handed over to the library of WebSockets, and which stay HTTP.

Only those that it will take: what it cannot read it answers in plain text, or not at all, and then holds the line.
"""

import re

from starlette.datastructures import Headers

KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # 16 bytes


def is_handshake(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request that wants to be a WebSocket is all that such a request must be; one with a body is not."""
    found = Headers(raw=headers)
    keys, versions = found.getlist("sec-websocket-key"), found.getlist("sec-websocket-version")
    whole = len(keys) == 1 and KEY.fullmatch(keys[0]) is not None and versions == ["13"]
    return whole and method == "GET" and "content-length" not in found and "transfer-encoding" not in found
