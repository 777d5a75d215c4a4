"""Check and time the code for a GPU in a few minutes, by priority; a failing check does not stop the others.

    python -m benchmarks.gpu_check [--device cpu] [--budget SECONDS] [--only NAME ...] [--out FOLDER]

It needs only PYTHONPATH=. and torch: a check whose packages are missing is skipped with a note. After each check the
folder has the results: gpu.json, and the page gpu.md made from it.
"""

import argparse
import datetime
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu_check import report
from benchmarks.gpu_check.checks import CHECKS
from benchmarks.gpu_check.runner import Outcome, as_json, run_all
from videogen.system.hardware import describe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 [default: a GPU if torch finds one]")
    parser.add_argument("--budget", type=float, default=480, help="seconds for all of it [default: 480]")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[check.name for check in CHECKS])
    parser.add_argument(
        "--out",
        type=Path,
        help="where gpu.json and gpu.md go [default: docs; with --only, nowhere]; with --only, other results stay",
    )
    given = parser.parse_args()
    out: Path | None = given.out or (None if given.only else Path("docs"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also ends the running check
    device = given.device or default_device()
    kind, date, shown = device.split(":")[0], datetime.date.today().isoformat(), 0
    before = report.load_runs(out).get(kind) if out is not None and given.only else None

    def keep(outcomes: list[Outcome]) -> None:
        nonlocal shown
        numbers = (finding["numbers"] for outcome in outcomes for finding in outcome.findings)
        facts: dict[str, Any] = next((each for each in numbers if "torch" in each), {})
        run = {
            "date": date,
            "hardware": describe(),
            "device": facts.get("device", ""),
            "torch": facts.get("torch", ""),
            "budget": given.budget,
            "checks": as_json(outcomes),
        }
        if out is not None:
            report.store_run(out, kind, report.merge_runs(before, run, [check.name for check in CHECKS]))
        for outcome in outcomes[shown:]:
            print(f"{outcome.name}: {outcome.ended}, {outcome.seconds:.0f} s", flush=True)
            for finding in outcome.findings:
                told = (finding[name] for name in ("what", "figure", "beside", "why"))
                print(f"  {finding['proven']:<8} {'; '.join(each for each in told if each)}", flush=True)
        shown = len(outcomes)

    outcomes = run_all([c for c in CHECKS if given.only is None or c.name in given.only], device, given.budget, keep)
    if out is not None:
        print(f"written: {out / 'gpu.json'}, {out / 'gpu.md'}")
    sys.exit(any(finding["proven"] == "no" for outcome in outcomes for finding in outcome.findings))


def default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
