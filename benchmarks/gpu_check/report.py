"""The results as docs/gpu.json, with the last run on a GPU and the last on a CPU, and as docs/gpu.md."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

INTRODUCTION = """# Checks on a GPU

Made by `make gpu-check` (`python -m benchmarks.gpu_check`); do not edit. Every check runs in its own process, in order
of priority, with a time limit; all of them stop at a budget (`--budget`, 480 seconds). **yes** and **no** are tested
claims, **timed** is a figure without a claim. With `--device cpu` the same checks run on small shapes: that tests the
checks themselves, and the times say nothing about a GPU. On a machine with torch and without videogen:
`PYTHONPATH=. python3 -m benchmarks.gpu_check --out FOLDER`. gpu.json has all numbers, and the traceback of failures.
"""
TITLES = {"cuda": "## On a GPU", "cpu": "## On a CPU, small shapes"}
NO_GPU_RUN = "No GPU has run these checks yet.\n"


def store_run(folder: Path, kind: str, run: dict[str, Any]) -> None:
    """Replaces the last run on this kind of device, atomically; the run may be incomplete."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = {**load_runs(folder), kind: run}
    replace(folder / "gpu.json", json.dumps(runs, indent=1, sort_keys=True) + "\n")
    replace(folder / "gpu.md", page(runs))


def load_runs(folder: Path) -> dict[str, Any]:
    try:
        runs = json.loads((folder / "gpu.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {kind: run for kind, run in runs.items() if kind in TITLES} if isinstance(runs, dict) else {}


def merge_runs(before: dict[str, Any] | None, run: dict[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """A run of some checks, completed by the results of an earlier run on the same machine."""
    if before is None or before["hardware"] != run["hardware"]:
        return run
    checks = {check["name"]: check for each in (before, run) for check in each["checks"]}
    facts = {name: run[name] or before[name] for name in ("device", "torch")}
    return {**run, **facts, "checks": [checks[name] for name in order if name in checks]}


def replace(place: Path, text: str) -> None:
    partial = place.with_name(f".{place.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(place)


def page(runs: dict[str, Any]) -> str:
    parts = [INTRODUCTION]
    for kind, title in TITLES.items():
        if kind in runs:
            parts.append(f"{title}\n\n{section(runs[kind])}")
        elif kind == "cuda":
            parts.append(f"{title}\n\n{NO_GPU_RUN}")
    return "\n".join(parts)


def section(run: dict[str, Any]) -> str:
    facts = [f"{run['date']}, {run['hardware']}", *(f"{run[name]}" for name in ("device", "torch") if run.get(name))]
    took = f"{sum(check['seconds'] for check in run['checks']):.0f} s in all"
    lines = [f"{'; '.join(facts)}; {took}.", "", "| what | proven | figure | roofline or ratio | why, or compared to |"]
    lines.append("|---|---|---|---|---|")
    for outcome in run["checks"]:
        lines += [row(finding) for finding in outcome["findings"]]
    return "\n".join([*lines, "", summary(run), ""])


def row(finding: dict[str, Any]) -> str:
    cells = (finding[name] for name in ("what", "proven", "figure", "beside", "why"))
    return f"| {' | '.join(str(cell).replace('|', '/').replace(chr(10), ' ') for cell in cells)} |"


def summary(run: dict[str, Any]) -> str:
    found = [finding["proven"] for outcome in run["checks"] for finding in outcome["findings"]]
    said = ", ".join(f"{found.count(kind)} {kind}" for kind in ("yes", "no", "skipped", "timed"))
    return f"In all: {said}. Seconds per check: {format_seconds((c['name'], c['seconds']) for c in run['checks'])}."


def format_seconds(pairs: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {seconds:.0f}" for name, seconds in pairs if seconds)
