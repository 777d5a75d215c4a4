"""A stream of ten thousand latent frames by a tiny prior: neither memory nor the time per latent frame grows.

    python -m benchmarks.prior.memory [--small] [--json]

Each latent frame is proposed twice, then committed; every tenth one uses `advance`. Each tenth of the stream is a row.
At the end proposals with the past after the first tenth and with the last past alternate.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Call, DeviceSetting, device_setting, grid_spec, ratio, synchronize, time_alternately
from interfaces.prior import clone_tensors
from prior.config import ContextConfig, PriorConfig
from prior.laws import random_codes
from prior.memory import Past
from prior.model import LlamaPrior
from videogen.system.hardware import describe

CONFIG = PriorConfig(
    spec=grid_spec((32, 32), 4),
    width=64,
    layers=2,
    heads=4,
    kv_heads=2,
    hidden=176,
    window=8,
    objective="masked",
    context=ContextConfig(length=8, vocabulary=64),
)
TENTHS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="1,000 frames")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(1000 if given.small else given.frames, device_setting(given.threads))
    print(json.dumps(figures, indent=2) if given.json else table(figures))


@torch.no_grad()
def measure(frames: int, where: DeviceSetting) -> dict[str, Any]:
    model = LlamaPrior(CONFIG).to(where.device, where.dtype)
    past, parts, pasts = model.begin(None, 1), [], []
    for number in range(TENTHS):
        past, milliseconds = advance_stream(model, past, frames // TENTHS, where)
        parts.append({"frames": int(past.frames), "ms_a_frame": milliseconds, "resident_mb": resident_mb(where)})
        pasts += [clone_tensors(past)] if number in (0, TENTHS - 1) else []
    early, late = (proposal_call(model, each, where) for each in pasts)
    times = time_alternately({"early": early, "late": late}, 51, where)
    return {
        "hardware": describe(),
        **where.description,
        "past_bytes": sum(each.nbytes for each in (*past.keys, *past.values)),
        "parts": parts,
        "grown_mb": parts[-1]["resident_mb"] - parts[0]["resident_mb"],
        "late_over_early": ratio(times["late"], times["early"]),
    }


def advance_stream(model: LlamaPrior, past: Past, frames: int, where: DeviceSetting) -> tuple[Past, float]:
    """Advances by so many latent frames; the median milliseconds of one, in CPU time on a CPU."""
    generator = torch.Generator(where.device).manual_seed(0)
    codes_BNK = random_codes(model.spec, (1, model.spec.tokens), generator)
    known_BN, times = torch.ones(codes_BNK.shape[:2], dtype=torch.bool, device=where.device), []
    clock = time.process_time if where.device.type == "cpu" else time.perf_counter
    for number in range(frames):
        start = clock()
        if number % 10 == 9:
            past, _ = model.advance(codes_BNK, past)
        else:
            model.propose(codes_BNK, ~known_BN, past)
            past = model.commit(past, model.propose(codes_BNK, known_BN, past)[1])
        synchronize(where)
        times.append(clock() - start)
    return past, 1e3 * statistics.median(times)


def proposal_call(model: LlamaPrior, past: Past, where: DeviceSetting) -> Call:
    codes_BNK = model.spec.empty(1, 1, where.device)[:, 0]
    known_BN = torch.zeros(codes_BNK.shape[:2], dtype=torch.bool, device=where.device)
    return lambda: model.propose(codes_BNK, known_BN, past)


def resident_mb(where: DeviceSetting) -> float:
    if where.device.type == "cuda":
        return torch.cuda.memory_allocated() / 2**20
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def table(figures: dict[str, Any]) -> str:
    lines = ["a long stream on {hardware}, torch {torch}, {device}, {precision}, {clock}".format(**figures)]
    lines += [
        "  {frames:>7,} frames: {ms_a_frame:.2f} ms a frame, {resident_mb:.1f} MB".format(**part)
        for part in figures["parts"]
    ]
    last = "  a past of {past_bytes:,} bytes; memory {grown_mb:+.2f} MB, time of a proposal {late_over_early:.2f}x"
    return "\n".join([*lines, last.format(**figures) + " from the first tenth to the last"])


if __name__ == "__main__":
    main()
