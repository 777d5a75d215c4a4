"""One proposal of a prior on a CPU: its time, its share of the roofline, and the same in another checkout.

    python -m benchmarks.prior.proposal [--model DIR] [--batches 1 2] [--threads 1] [--beside CHECKOUT]

whole      a proposal with a full window, to the features of every token
asked      the same for the eighth of the tokens that the default order reads
compiled   the whole proposal by torch.compile, and the seconds of compilation (`--compile`)

The roofline is that of `videogen bench`, measured in every round. The checkouts alternate, each round in its own
process; a ratio is the median over rounds. Time is wall time; on a busy machine use `--threads 1`, which measures CPU
time. The other checkout must have the same benchmarks; `benchmarks.paired` needs only its command line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import ROOT, DeviceSetting, device_setting, time_calls
from prior.laws import random_codes
from prior.linear import Linear
from prior.model import LlamaPrior, as_llama
from videogen.evaluation.lab.roofline import Peaks, pass_cost
from videogen.pipeline import VideoPipeline
from videogen.system.hardware import describe

STEPS = 8  # per latent frame
SIDE = 2048  # of the large matrices
CALLS = 30  # the median counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="the root of another checkout of videogen")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(measure(given)))
        return
    roots = {"here": ROOT, **({"beside": given.beside.resolve()} if given.beside else {})}
    rounds: dict[str, list[Any]] = {name: [] for name in roots}
    for _ in range(given.rounds):  # alternating
        for name, root in roots.items():
            rounds[name].append(measure_in_process(root, given))
    figures = {"hardware": describe(), "threads": given.threads, "dtype": given.dtype, "rows": summarize(rounds)}
    print(json.dumps(figures, indent=2) if given.json else table(figures))


def measure_in_process(root: Path, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-P", "-W", "ignore", __file__, "--worker", "--threads", str(given.threads)]
    command += ["--dtype", given.dtype, "--batches", *map(str, given.batches)]
    command += ["--model", given.model] if given.model else []
    command += ["--compile"] if given.compile and root == ROOT else []
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": str(given.threads)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{root}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@torch.no_grad()
def measure(given: argparse.Namespace) -> dict[str, dict[str, float]]:
    where = device_setting(given.threads)
    network = as_llama(VideoPipeline.from_pretrained(given.model, dtype=given.dtype).model.network)
    return {f"batch {batch}": one_batch(network, batch, given.compile, where) for batch in given.batches}


def one_batch(network: LlamaPrior, batch: int, compiling: bool, where: DeviceSetting) -> dict[str, float]:
    spec, past = network.spec, network.begin(None, batch)
    codes_BNK = random_codes(spec, (batch, spec.tokens), torch.Generator().manual_seed(0))
    known_BN = torch.ones(codes_BNK.shape[:2], dtype=torch.bool)
    for _ in range(network.config.window + 1):
        past = network.commit(past, network.propose(codes_BNK, known_BN, past)[1])
    known_BN = torch.rand(known_BN.shape) >= 0.5
    places = torch.arange(0, spec.tokens, STEPS).expand(batch, -1)
    calls: dict[str, Callable[[], object]] = {
        "whole": lambda: network.propose(codes_BNK, known_BN, past),
        "asked": lambda: network.propose(codes_BNK, known_BN, past, positions_BM=places),
    }
    compiled_after = 0.0
    if compiling:
        compiled: Any = torch.compile(network.propose)
        began = time.perf_counter()
        compiled(codes_BNK, known_BN, past)
        compiled_after = time.perf_counter() - began
        calls["compiled"] = lambda: compiled(codes_BNK, known_BN, past)
    weight, taken = network.norm.weight, {}
    for name, call in calls.items():
        call()
        taken[name] = statistics.median(time_calls(call, 1, where) for _ in range(CALLS))
    rate, bandwidth = machine_rates(weight.dtype, where)
    return {
        **{f"{name}_ms": 1000 * seconds for name, seconds in taken.items()},
        "gflops": rate / 1e9,
        "floor_ms": 1000
        * Peaks(rate, bandwidth).floor(pass_cost(network.config, 1, spec.tokens, batch, weight.itemsize, read=0)),
        "compiling_s": compiled_after,
    }


def machine_rates(dtype: torch.dtype, where: DeviceSetting) -> tuple[float, float]:
    """Operations and bytes per second, by the clock of the proposals."""
    matrix = Linear(SIDE, SIDE, bias=False, dtype=dtype).requires_grad_(False)
    matrix.pack()
    rows, (x, y, out) = torch.rand(SIDE, SIDE, dtype=dtype), (torch.rand(2**23, dtype=dtype) for _ in range(3))
    product, triad = (
        min(time_calls(work, 1, where) for _ in range(5))
        for work in (lambda: matrix(rows), lambda: torch.add(x, y, alpha=0.5, out=out))
    )
    return 2 * SIDE**3 / product, 3 * x.nbytes / triad


def summarize(rounds: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
    """For each batch size the medians over rounds, and the median ratios of the other checkout to this one."""
    rows = {}
    for batch in rounds["here"][0]:
        here = [each[batch] for each in rounds["here"]]
        row = {name: statistics.median(each[name] for each in here) for name in here[0]}
        row["fraction"] = statistics.median(each["floor_ms"] / each["whole_ms"] for each in here)
        if "beside" in rounds:
            beside = [each[batch] for each in rounds["beside"]]
            row["beside_ms"] = statistics.median(each["whole_ms"] for each in beside)
            row["beside_fraction"] = statistics.median(
                mine["floor_ms"] / each["whole_ms"] for mine, each in zip(here, beside, strict=True)
            )
            for name in ("whole", "asked"):
                ratios = [other[f"{name}_ms"] / mine[f"{name}_ms"] for other, mine in zip(beside, here, strict=True)]
                row[f"{name}_times_as_fast"] = statistics.median(ratios)
        rows[batch] = row
    return rows


def table(figures: dict[str, Any]) -> str:
    lines = ["a proposal on {hardware}, {threads} thread(s), {dtype}".format(**figures)]
    for batch, row in figures["rows"].items():
        text = "{whole_ms:.2f} ms, {fraction:.0%} of the floor of {floor_ms:.2f} ms ({gflops:.0f} GFLOP/s)"
        text += "; {asked_ms:.2f} ms for an eighth of the tokens"
        if "beside_ms" in row:
            text += "; the other checkout {beside_ms:.2f} ms, {beside_fraction:.0%}: here {whole_times_as_fast:.2f} x"
            text += " as fast, {asked_times_as_fast:.2f} x for an eighth"
        if "compiled_ms" in row:
            text += "; compiled {compiled_ms:.2f} ms after {compiling_s:.0f} s"
        lines.append(f"  {batch}: " + text.format(**row))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
