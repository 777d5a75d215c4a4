"""The server's log on stderr, as text or JSON: a record in each line, and nothing that clients ask for.

A client can cause the same error thousands of times a second, so repeated messages are counted instead of written.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

FORMAT, TIME = "%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"
PACKAGE = "videogen"
LOG_FORMAT = "VIDEOGEN_LOG_FORMAT"  # environment variable: text or json; the model process inherits it
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
MAX_REPEATS, WINDOW_SECONDS = 3, 10.0  # messages of one kind that are written in a window
MAX_KINDS = 1000  # kinds of messages that are remembered


class RepeatFilter(logging.Filter):
    """Passes the first messages of a kind in a window; the first one of a later window says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}  # of a kind: start of its window, and its count

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, str(record.msg).partition("\n")[0]), self.clock()
        start, count = self._windows.get(kind, (now, 0))
        if now - start >= WINDOW_SECONDS:
            if count > MAX_REPEATS:
                record.msg = f"{record.msg} (and {count - MAX_REPEATS} more like it in the meantime)"
            start, count = now, 0
        if len(self._windows) >= MAX_KINDS:
            self._windows.clear()
        self._windows[kind] = start, count + 1
        return count < MAX_REPEATS


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; what `extra={"fields": {...}}` gives is part of it."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := current_request_id()) != "":
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({**line, **getattr(record, "fields", {})})


def current_request_id() -> str:
    """The id of the request that this task serves, or that started it; empty if there was none."""
    return REQUEST_ID.get()


@contextmanager
def request_scope(id: str) -> Iterator[None]:
    """Within it, records and new tasks have this request id."""
    token = REQUEST_ID.set(id)
    try:
        yield
    finally:
        REQUEST_ID.reset(token)


@contextmanager
def log_on_stderr(quiet: bool = False, log_format: str | None = None) -> Iterator[None]:
    """Warnings and errors of all packages; also our information, unless `quiet`.

    Records with fields, of requests and of streams that end, are written as JSON alone, and each of them.
    """
    before = os.environ.get(LOG_FORMAT, "text")
    os.environ[LOG_FORMAT] = log_format or before
    as_json = os.environ[LOG_FORMAT] == "json"
    handler, root, ours = logging.StreamHandler(), logging.getLogger(), logging.getLogger(PACKAGE)
    handler.setFormatter(JsonFormatter() if as_json else logging.Formatter(FORMAT, TIME))
    repeats = RepeatFilter()
    handler.addFilter(lambda record: as_json if hasattr(record, "fields") else repeats.filter(record))
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.captureWarnings(as_json)
    try:
        yield
    finally:
        os.environ[LOG_FORMAT] = before
        logging.captureWarnings(False)
        ours.setLevel(level)
        root.removeHandler(handler)
