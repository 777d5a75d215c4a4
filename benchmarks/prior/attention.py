"""Windowed attention over latent frames: the kernels against a dense mask.

    python -m benchmarks.prior.attention [--small] [--json]

gathered   each latent frame with the keys of its window
flex       flex_attention over a block mask; only on a GPU, because it takes over a minute to compile on a CPU
dense      scaled_dot_product_attention with a boolean mask; not above --dense-positions, because it is quadratic

Measures forward alone, and forward with backward. The slope of log time over log frames shows how the cost grows (1:
linearly), over all lengths and over those of at least twice the window. The bound is the number of pairs that the
dense mask computes over the number of visible ones.
"""

import argparse
import json
import statistics
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import (
    Call,
    DeviceSetting,
    device_setting,
    memory_growth_mb,
    ratio,
    run_in_fresh_process,
    slope,
    time_alternately,
)
from prior.attention import Kernel, attend
from prior.visibility import Layout
from videogen.system.hardware import describe

HEAD_WIDTH = 64
PASSES = ("forward", "both")
Case = tuple[Kernel, str, int]  # kernel, pass, frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 256], help="per latent frame")
    parser.add_argument("--window", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--kv-heads", type=int, default=4)
    parser.add_argument("--copies", type=int, choices=(1, 2), default=1, help="2: clean and masked, as in training")
    parser.add_argument("--dense-positions", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="fewer cases: under a minute")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    where = device_setting(given.threads)
    if given.worker is not None:
        print(json.dumps(memory(where=where, **given.worker)))
        return
    if given.small:
        given.frames, given.tokens, given.rounds = [4, 8, 16, 32], [64], 2
    figures = measure(given, where)
    print(json.dumps(figures, indent=2) if given.json else table(figures))


def measure(given: argparse.Namespace, where: DeviceSetting) -> dict[str, Any]:
    torch.compiler.reset()
    torch._dynamo.config.recompile_limit = 64  # one for each shape
    sizes = {name: getattr(given, name) for name in ("window", "heads", "kv_heads", "copies")}
    return {
        "hardware": describe(),
        **where.description,
        **sizes,
        "head_width": HEAD_WIDTH,
        "rounds": given.rounds,
        "grids": [grid_case(tokens, given, sizes, where) for tokens in given.tokens],
    }


def grid_case(tokens: int, given: argparse.Namespace, sizes: dict[str, int], where: DeviceSetting) -> dict[str, Any]:
    """All lengths for one size of a latent frame, in alternation."""
    cases = [
        (kernel, which, frames)
        for frames in given.frames
        for kernel in kernels_for(where, given.copies * frames * tokens <= given.dense_positions)
        for which in PASSES
    ]
    calls = {case: attention_call(case[0], case[1], case[2], tokens, where, **sizes) for case in cases}
    times = time_alternately(calls, given.rounds, where)
    grown = {
        (kernel, which, frames): run_in_fresh_process(
            "benchmarks.prior.attention",
            given.threads,
            {"kernel": kernel, "which": which, "frames": frames, "tokens": tokens, **sizes},
        )["grown_mb"]
        for kernel, which, frames in cases
        if which == "both" and frames == max(f for k, _, f in cases if k == kernel)
    }
    return {
        "tokens": tokens,
        "slopes": slopes(times, given.window),
        "lengths": [length_row(frames, times) | {"bound": arithmetic_bound(frames, given)} for frames in given.frames],
        "grown_mb": [{"kernel": k, "frames": f, "mb": mb} for (k, _, f), mb in grown.items()],
    }


def kernels_for(where: DeviceSetting, short: bool) -> list[Kernel]:
    ours: list[Kernel] = ["gathered", "flex"] if where.device.type == "cuda" else ["gathered"]
    return [*ours, "dense"] if short else ours


def attention_call(kernel: Kernel, which: str, frames: int, tokens: int, where: DeviceSetting, **sizes: int) -> Call:
    """A call of attention on random queries, keys and values."""
    layout = Layout(0, frames, tokens, sizes["window"], sizes["copies"], "together")  # type: ignore[arg-type]
    q, k, v = (
        torch.randn(1, layout.length, heads, HEAD_WIDTH, device=where.device, dtype=where.dtype, requires_grad=True)
        for heads in (sizes["heads"], sizes["kv_heads"], sizes["kv_heads"])
    )

    def forward() -> Tensor:
        with torch.no_grad():
            return attend(q, k, v, layout, kernel)

    def both() -> None:
        out = attend(q, k, v, layout, kernel)
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))

    return forward if which == "forward" else both


def memory(where: DeviceSetting, **case: Any) -> dict[str, float]:
    """Memory beyond the inputs, in a fresh process; a short sequence first warms up."""
    attention_call(**{**case, "frames": 2, "tokens": 16}, where=where)()
    return {"grown_mb": memory_growth_mb(attention_call(**case, where=where), where)}


def slopes(times: dict[Case, list[float]], window: int) -> list[dict[str, Any]]:
    found = []
    for kernel, which in dict.fromkeys((kernel, which) for kernel, which, _ in times):
        lengths = sorted(frames for k, w, frames in times if (k, w) == (kernel, which))
        long = [frames for frames in lengths if frames >= 2 * window]
        over = {
            name: slope(some, [times[kernel, which, frames] for frames in some]) if len(some) > 1 else None
            for name, some in (("all", lengths), ("long", long))
        }
        found.append({"kernel": kernel, "pass": which, **over})
    return found


def length_row(frames: int, times: dict[Case, list[float]]) -> dict[str, Any]:
    here = {(kernel, which): seconds for (kernel, which, length), seconds in times.items() if length == frames}
    row: dict[str, Any] = {"frames": frames}
    for (kernel, which), seconds in here.items():
        row[f"{kernel}_{which}_ms"] = 1e3 * statistics.median(seconds)
        if kernel != "dense" and ("dense", which) in here:
            row[f"dense_over_{kernel}_{which}"] = ratio(here["dense", which], seconds)
    return row


def arithmetic_bound(frames: int, given: argparse.Namespace) -> float:
    """All pairs of positions over the visible ones: the largest possible speedup."""
    visible = sum(min(t, given.window) + 1 for t in range(frames))
    return float(given.copies * frames**2 / visible)


def table(figures: dict[str, Any]) -> str:
    lines = [
        "window attention on {hardware}, torch {torch}, {device}, {precision}, {clock}".format(**figures),
        "window {window} frames, {heads} heads ({kv_heads} of keys) x {head_width}, {copies} copies".format(**figures),
    ]
    for grid in figures["grids"]:
        lines.append(f"frames of {grid['tokens']} tokens")
        for row in grid["lengths"]:
            shown = (f"{name} {value:.2f}" for name, value in row.items() if name != "frames")
            lines.append(f"  {row['frames']:>3} frames: " + ", ".join(shown))
        for each in grid["slopes"]:
            long = "" if each["long"] is None else f", {each['long']:.2f} from twice the window on"
            lines.append(f"  slope of {each['kernel']} ({each['pass']}): {each['all']:.2f}{long}")
        lines += [
            "  {kernel} at {frames} frames, forward and backward: {mb:+.0f} MB".format(**m) for m in grid["grown_mb"]
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
