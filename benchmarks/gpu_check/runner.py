"""Runs checks one after the other, each in its own process, so that a crash or a hang affects no other check."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import Finding, Status, as_row

ROOT = Path(__file__).resolve().parents[2]
LOG_TAIL = 6000  # characters of the log of a failed check, for gpu.json
MIN_SECONDS = 3.0  # a check with less time left is not started


@dataclass(frozen=True)
class Check:
    """A check: `function` is "module:name", takes the device and yields Findings."""

    name: str
    function: str
    limit: float  # seconds on a GPU
    limit_on_cpu: float = 120.0
    needs: tuple[str, ...] = ()  # packages in addition to torch


@dataclass
class Outcome:
    """The result of a check: its rows, and how it ended."""

    name: str
    seconds: float = 0.0
    ended: str = "whole"  # or: failed, out of time, skipped, left out
    findings: list[dict[str, Any]] = field(default_factory=list)


def run_all(
    checks: Sequence[Check],
    device: str,
    budget: float,
    on_outcome: Callable[[list[Outcome]], None],
    clock: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """Runs every check that the budget of seconds has time for; calls `on_outcome` with all outcomes after each."""
    outcomes: list[Outcome] = []
    end = clock() + budget
    for check in checks:
        left = end - clock()
        limit = check.limit_on_cpu if device == "cpu" else check.limit
        if missing := [name for name in check.needs if importlib.util.find_spec(name) is None]:
            outcomes.append(skipped_outcome(check, "skipped", f"needs {', '.join(missing)}, which is not installed"))
        elif left < MIN_SECONDS:
            outcomes.append(skipped_outcome(check, "left out", f"the budget of {budget:.0f} s was spent"))
        else:
            outcomes.append(run_one(check, device, min(limit, left), cut_short=left < limit))
        on_outcome(outcomes)
    return outcomes


def skipped_outcome(check: Check, ended: str, why: str) -> Outcome:
    return Outcome(check.name, 0.0, ended, [as_row(Finding(check.name, "skipped", why=why))])


def run_one(check: Check, device: str, limit: float, cut_short: bool = False) -> Outcome:
    """Runs a check in its own process, which is killed with its children at the limit; earlier rows are kept.

    If the rest of the budget was the limit (`cut_short`), a killed check has not failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rows, log = Path(scratch) / "rows.jsonl", Path(scratch) / "log"
        began = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "benchmarks.gpu_check.worker",
            check.function,
            device,
            str(rows),
            f"{limit:.1f}",
        ]
        with log.open("wb") as said:
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, start_new_session=True)
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                kill_group(process)
        outcome = Outcome(check.name, round(time.monotonic() - began, 1), findings=read_rows(rows))
        if code != 0:
            why = f"out of time after {limit:.0f} s" if code is None else last_error(log, code)
            outcome.ended = "out of time" if code is None else "failed"
            spent = code is None and cut_short
            why = f"the budget ended after {limit:.0f} s of it" if spent else why
            said_last = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
            proven: Status = "skipped" if spent else "no"
            row = Finding(f"{check.name}: the rest", proven, why=why, numbers={"log": said_last})
            outcome.findings.append(as_row(row))
        return outcome


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_rows(rows: Path) -> list[dict[str, Any]]:
    """Complete lines only: the last one may be cut off."""
    text = rows.read_text(encoding="utf-8") if rows.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def last_error(log: Path, code: int) -> str:
    """The last error in a log and where it was raised, or the last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Failure"))]
    places = [line for line in lines if line.startswith("File ") and str(ROOT) in line]
    said = (errors or lines or ["no message"])[-1][:300]
    where = places[-1].replace(f"{ROOT}/", "") if places else ""
    return f"exit code {code}: {said}{f' ({where})' if where else ''}"


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    return [asdict(outcome) for outcome in outcomes]
