"""The jobs of a state folder in SQLite: what is needed to make each again, and how it ended.

One thread of one process uses it at a time. What is deleted is overwritten, because prompts are private.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from videogen.errors import DataError
from videogen.serve.model_info import ModelInfo
from videogen.serve.requests import GenerationParams

APPLICATION, VERSION = 0x7667656E, 1  # "vgen": what SQLite notes in the file
RecordStatus = Literal["unfinished", "completed", "failed"]
SCHEMA = """
CREATE TABLE models (id TEXT PRIMARY KEY, info TEXT NOT NULL);
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  model TEXT NOT NULL REFERENCES models (id),
  owner TEXT NOT NULL,
  request_id TEXT NOT NULL,
  params TEXT NOT NULL,
  seed INTEGER NOT NULL,
  frames INTEGER NOT NULL,
  created_at REAL NOT NULL,
  crashes INTEGER NOT NULL DEFAULT 0,
  status TEXT NOT NULL DEFAULT 'unfinished' CHECK (status IN ('unfinished', 'completed', 'failed')),
  frames_made INTEGER NOT NULL DEFAULT 0,
  ended_at REAL,
  size INTEGER NOT NULL DEFAULT 0,
  error TEXT
);
"""
COLUMNS = (
    *("jobs.id", "owner", "request_id", "params", "seed", "frames", "created_at", "crashes", "status"),
    *("frames_made", "ended_at", "size", "error", "info"),
)


@dataclass(frozen=True)
class JobRecord:
    """A job as it is stored; times are Unix times."""

    id: str
    owner: str  # empty once it has ended
    request_id: str
    params: GenerationParams  # as they were submitted; once the job has ended, with what has become of them
    seed: int
    frames: int
    created_at: float
    info: ModelInfo  # the model that it was submitted to
    crashes: int = 0  # how often the server died since the job was submitted
    status: RecordStatus = "unfinished"
    frames_made: int = 0
    ended_at: float | None = None
    size: int = 0  # bytes of its video
    error: str | None = None


class JobDatabase:
    """DataError in one line for a file that is damaged, foreign or of a later version; such a file is not changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.usable():
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        version, application = self._pragma("user_version"), self._pragma("application_id")
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != APPLICATION and (application or version or tables):
            raise DataError(f"{self.path}: a database of another program; name another --state")
        if version > VERSION:
            raise DataError(
                f"{self.path}: written by a later videogen (version {version}; this one reads {VERSION}); update "
                "videogen, or name another --state"
            )
        if self._pragma("quick_check") != "ok":
            raise sqlite3.DatabaseError("its pages do not fit together")
        for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {setting}")
        if version == 0:
            stamp = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
            self._connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {stamp} COMMIT;")

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def load(self) -> list[JobRecord]:
        """All jobs in the order of their submission."""
        query = f"SELECT {', '.join(COLUMNS)} FROM jobs JOIN models ON jobs.model = models.id ORDER BY number"
        with self.usable():
            self._connection.execute("DELETE FROM models WHERE id NOT IN (SELECT model FROM jobs)")
            return [as_record(row) for row in self._connection.execute(query)]

    def insert(self, record: JobRecord) -> None:
        info = json.dumps(asdict(record.info), sort_keys=True)
        model = hashlib.sha256(info.encode()).hexdigest()
        values = (record.id, model, record.owner, record.request_id, as_text(record.params), record.seed)
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO models VALUES (?, ?)", (model, info))
            self._connection.execute(
                "INSERT INTO jobs (id, model, owner, request_id, params, seed, frames, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, record.frames, record.created_at),
            )

    def end(self, record: JobRecord) -> None:
        """Store how it ended; does nothing if the job has been removed."""
        values = (record.status, as_text(record.params), record.frames_made, record.ended_at, record.size, record.error)
        self._connection.execute(
            "UPDATE jobs SET owner = '', status = ?, params = ?, frames_made = ?, ended_at = ?, size = ?, error = ? "
            "WHERE id = ?",
            (*values, record.id),
        )

    def remove(self, id: str) -> None:
        self._connection.execute("DELETE FROM jobs WHERE id = ?", (id,))

    def count_crash(self) -> None:
        """To be called at each start: `forget_crashes` takes it back when the server ends as it should."""
        self._connection.execute("UPDATE jobs SET crashes = crashes + 1 WHERE status = 'unfinished'")

    def forget_crashes(self) -> None:
        self._connection.execute("UPDATE jobs SET crashes = 0")

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk may have ended it
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def usable(self) -> Iterator[None]:
        """DataError for what goes wrong in it."""
        try:
            yield
        except sqlite3.OperationalError as error:  # a full disk, or no right to write
            raise DataError(f"{self.path}: cannot be used ({error})") from None
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path}: damaged ({error}); nothing was deleted. Put back a copy, or name another --state"
            ) from None


def as_text(params: GenerationParams) -> str:
    return json.dumps(params.to_json())


def as_record(row: tuple[Any, ...]) -> JobRecord:
    values = dict(zip((name.rpartition(".")[2] for name in COLUMNS), row, strict=True))
    params = GenerationParams.from_json(json.loads(values["params"]), b"")
    return JobRecord(**{**values, "params": params, "info": ModelInfo.from_json(json.loads(values["info"]))})
