"""Our tokenizer against magvit2-pytorch in one run: throughput, memory, and quality after the same training time.

    python -m benchmarks.tokenizer.magvit2 --peer-python PEER/bin/python [--train-seconds 300] [--json]

`magvit2_models.py` describes the models and the environment for magvit2-pytorch; without one, only ours is measured.
Every case runs in its own process, alternating, with one thread. Time is the CPU time of that process: on one thread of
a quiet machine the same as wall time, on a shared one what it would have been.

encode, decode   clips to codes and back, without gradients
train            forward, backward, clipping and a step of AdamW on mean squared error and the quantizer's own terms
memory           the peak of a process beyond its size with the libraries imported
learning         from scratch on playroom clips, AdamW, short warm-up and cosine over the given time; PSNR of
                 reconstructions of clips outside the training set, after rounding to bytes
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.system.hardware import describe

if TYPE_CHECKING:  # the parent imports no torch: on Linux a child inherits its peak memory
    from torch import Tensor

    from benchmarks.tokenizer.magvit2_models import Contender

ROOT = Path(__file__).resolve().parents[2]
BASELINES = ("magvit2", "magvit2_short")
FRAMES, SIDE, HELD_OUT = 17, 64, 48
CASES = ("encode", "decode", "train")
MIN_SECONDS = 0.5  # CPU seconds of one measurement, and at least two calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, help="a Python that imports magvit2_pytorch and torch")
    parser.add_argument("--peers", nargs="+", choices=BASELINES, default=BASELINES)
    parser.add_argument("--rounds", type=int, default=3, help="of the throughput; 0 skips it")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="of the throughput")
    parser.add_argument("--train-seconds", type=float, default=300, help="CPU time of each training; 0 skips it")
    parser.add_argument("--train-batches", type=int, nargs="+", default=[8], help="batch sizes to try")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3], help="learning rates to try")
    parser.add_argument("--clips", type=int, default=2048, help="playroom clips to train on")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        print(json.dumps(run_worker_task(**arguments.worker)))
        return
    pythons = {"ours": Path(sys.executable)}
    if arguments.peer_python is not None:
        pythons |= dict.fromkeys(arguments.peers, arguments.peer_python.absolute())
    figures = measure(pythons, arguments)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


def measure(pythons: dict[str, Path], given: argparse.Namespace) -> dict[str, Any]:
    contenders = {name: run_task(python, task="about", contender=name) for name, python in pythons.items()}
    figures = {"hardware": describe(), "threads": 1, "precision": "float32", "contenders": contenders}
    if given.rounds:
        figures["throughput"] = throughput(pythons, given.batches, given.rounds)
    if given.train_seconds:
        tries = list(product(given.train_batches, given.rates))
        figures["learning"] = learning(pythons, given.train_seconds, tries, given.clips)
    return figures


def run_task(python: Path, **task: Any) -> dict[str, Any]:
    """Runs one task in a fresh process."""
    command = [str(python), "-m", "benchmarks.tokenizer.magvit2", "--worker", json.dumps(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        sys.exit(f"magvit2: {task} failed under {python}: {reason}")
    print(f"{task}: {done.stdout.splitlines()[-1]}", file=sys.stderr)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def throughput(pythons: dict[str, Path], batches: list[int], rounds: int) -> list[dict[str, Any]]:
    """One row per case and batch size: medians over rounds in which the contenders alternate."""
    cases = list(product(CASES, batches))
    taken: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for (case, batch), (name, python) in product(cases, pythons.items()):
            answer = run_task(python, task="time", contender=name, case=case, batch=batch)
            taken.setdefault((case, batch, name), []).append(answer)
    return [row(case, batch, {name: taken[case, batch, name] for name in pythons}) for case, batch in cases]


def row(case: str, batch: int, taken: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Ratios are medians over rounds, above 1 if ours is faster or smaller."""
    seconds = {name: [each["seconds"] for each in answers] for name, answers in taken.items()}
    peaks = {name: statistics.median(each["grown_mb"] for each in answers) for name, answers in taken.items()}
    ratios = {
        name: statistics.median(theirs / mine for theirs, mine in zip(times, seconds["ours"], strict=True))
        for name, times in seconds.items()
    }
    return {
        "case": case,
        "batch": batch,
        "clips_per_second": {name: batch / statistics.median(times) for name, times in seconds.items()},
        "times_as_fast": ratios,
        "memory_mb": peaks,
        "times_as_small": {name: peak / peaks["ours"] for name, peak in peaks.items()},
    }


def learning(
    pythons: dict[str, Path], seconds: float, tries: list[tuple[int, float]], clips: int
) -> list[dict[str, Any]]:
    """One row per batch size, learning rate and contender."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"train": f"{folder}/train.npy", "fresh": f"{folder}/fresh.npy"}
        run_task(pythons["ours"], task="render", path=files["train"], clips=clips, seed=0)
        run_task(pythons["ours"], task="render", path=files["fresh"], clips=HELD_OUT, seed=999)
        rows = []
        for (batch, rate), (name, python) in product(tries, pythons.items()):
            setting = {"contender": name, "batch": batch, "rate": rate}
            answer = run_task(python, task="learn", seconds=seconds, **setting, **files)
            rows.append({**setting, **{key: answer[key] for key in ("steps", "cpu_seconds", "psnr")}})
        return rows


def run_worker_task(task: str, contender: str | None = None, **details: Any) -> dict[str, Any]:
    """One task of a child process; only this imports torch."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    if contender is None:
        return render_clips(**details)
    from benchmarks.tokenizer.magvit2_models import prepare

    build = prepare(contender)
    libraries = peak_memory_mb()
    tasks: dict[str, Callable[..., dict[str, Any]]] = {"about": describe_contender, "time": time_case, "learn": learn}
    answer = tasks[task](build(), **details)
    return {**answer, "grown_mb": peak_memory_mb() - libraries}


def describe_contender(built: "Contender") -> dict[str, Any]:
    import torch

    ids = built.encode(torch.zeros(1, 3, FRAMES, SIDE, SIDE))
    parameters = sum(weight.numel() for weight in built.parameters)
    return {"parameters": parameters, "ids": list(ids.shape[1:]), "torch": torch.__version__}


def time_case(built: "Contender", case: str, batch: int) -> dict[str, Any]:
    import torch

    clip = torch.rand(batch, 3, FRAMES, SIDE, SIDE) * 2 - 1
    if case == "train":
        optimizer = adamw(built, 1e-4)
        return time_call(lambda: step(built, optimizer, clip))
    ids = built.encode(clip)
    return time_call((lambda: built.encode(clip)) if case == "encode" else (lambda: built.decode(ids)))


def time_call(call: Callable[[], Any]) -> dict[str, Any]:
    """The median CPU seconds of a call, after a warm-up."""
    call()
    times: list[float] = []
    while len(times) < 2 or sum(times) < MIN_SECONDS:
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return {"seconds": statistics.median(times)}


def peak_memory_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def adamw(built: "Contender", rate: float) -> Any:
    import torch

    return torch.optim.AdamW(built.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=0.0)


def step(built: "Contender", optimizer: Any, clip: "Tensor") -> None:
    import torch

    optimizer.zero_grad()
    built.loss(clip).backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(built.parameters, 1.0)
    optimizer.step()


def render_clips(path: str, clips: int, seed: int) -> dict[str, Any]:
    import numpy as np

    from videogen.playroom.render import render
    from videogen.playroom.scene import sample_scenes

    np.save(path, render(sample_scenes(clips, seed), FRAMES, SIDE).numpy())
    return {}


def learn(built: "Contender", batch: int, rate: float, seconds: float, train: str, fresh: str) -> dict[str, Any]:
    """Trains for so many CPU seconds, batches included; the final test is not part of them."""
    import numpy as np

    clips, optimizer, draw = np.load(train, mmap_mode="r"), adamw(built, rate), np.random.default_rng(0)
    start, steps, passed = time.process_time(), 0, 0.0
    while passed < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, 0.01 + passed / 0.03) * 0.5 * (1 + math.cos(math.pi * passed))
        step(built, optimizer, to_tensor(clips[draw.integers(len(clips), size=batch)]))
        steps, passed = steps + 1, (time.process_time() - start) / seconds
    return {"steps": steps, "cpu_seconds": passed * seconds, "psnr": mean_psnr(built, np.load(fresh))}


def to_tensor(clips_BTHWC: Any) -> "Tensor":
    """Bytes to [B, C, T, H, W] in [-1, 1]."""
    import torch

    return (torch.from_numpy(clips_BTHWC).float() / 127.5 - 1).permute(0, 4, 1, 2, 3).contiguous()


def mean_psnr(built: "Contender", clips: Any) -> float:
    """The mean over clips of the PSNR in dB, after rounding to bytes."""
    each: list[float] = []
    for start in range(0, len(clips), 8):
        target = to_tensor(clips[start : start + 8])
        seen = built.decode(built.encode(target)).clamp(-1, 1)
        error = ((seen - target) * 127.5).round().square().flatten(1).mean(1)
        each += (10 * (255**2 / error.clamp_min(1e-9)).log10()).tolist()
    return statistics.mean(each)


def table(figures: dict[str, Any]) -> str:
    names = list(figures["contenders"])
    lines = ["tokenizers on {hardware}, {threads} thread, {precision}, CPU time".format(**figures)]
    for name, each in figures["contenders"].items():
        lines.append(f"  {name}: {each['parameters']:,} parameters, ids {each['ids']}, torch {each['torch']}")
    for each in figures.get("throughput", []):
        lines.append(
            f"  {each['case']} at batch {each['batch']}: " + "; ".join(throughput_cell(each, n) for n in names)
        )
    for each in figures.get("learning", []):
        trained = "  {contender} after {cpu_seconds:.0f} s, {steps} steps of batch {batch} at a rate of {rate:g}"
        lines.append(trained.format(**each) + f": {each['psnr']:.2f} dB on held-out clips")
    if len(names) == 1:
        lines.append(
            "  ours only: for magvit2-pytorch, see benchmarks/tokenizer/magvit2_models.py and give --peer-python"
        )
    return "\n".join(lines)


def throughput_cell(each: dict[str, Any], name: str) -> str:
    cell = f"{name} {each['clips_per_second'][name]:.2f} clips/s, {each['memory_mb'][name]:.0f} MB"
    if name == "ours":
        return cell
    return f"{cell} (ours {each['times_as_fast'][name]:.1f}x as fast, {each['times_as_small'][name]:.1f}x as small)"


if __name__ == "__main__":
    main()
