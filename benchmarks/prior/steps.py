"""A training step and a proposal of a prior, against transformers' Llama of the same size in the same run.

    python -m benchmarks.prior.steps [--small] [--json]

train      forward and backward of complete teacher forcing: every latent frame masked and clean, in one pass
llama      the same of a causal language model over the same tokens
passes     the alternative to complete teacher forcing: one pass for each latent frame with those before it
proposal   a masked latent frame with a full window, to its logits; llama: the same with a DynamicCache
token      one token in raster order with the same past, ours and llama's
growth     a step with longer clips at a fixed window: the slope of log time over log frames, where 1 is linear

Weights are random; neither model has text, more than one codebook or corruption. The roofline is the larger of
operations over the rate of a 2048^2 matrix product and bytes over the bandwidth of a triad, both measured in every
round; for training it counts operations only. It counts what the result needs: no padding, copies or masked pairs.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from benchmarks.measuring import (
    Call,
    DeviceSetting,
    device_setting,
    fraction_of_floor,
    machine_calls,
    memory_growth_mb,
    rates,
    ratio,
    run_in_fresh_process,
    slope,
    time_alternately,
)
from benchmarks.prior.llama import LlamaBaseline
from benchmarks.prior.workloads import (
    make_config,
    make_prior,
    proposal_call,
    random_batch,
    separate_passes,
    streaming_work,
    token_call,
    training_step,
    training_work,
)
from prior.attention import choose_kernel
from prior.config import PriorConfig
from prior.model import LlamaPrior
from videogen.system.hardware import describe

SIZES = ("width", "layers", "heads", "kv_heads", "hidden", "window")
TRAINING_SIDE = 8  # tokens of a row and of a column
TRAINING, STREAMING = ("train", "llama", "passes"), ("proposal", "llama_proposal", "token", "llama_token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in zip(SIZES, (512, 8, 8, 4, 1536, 4), strict=True):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--codes", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=16, help="latent frames of the training step")
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[8, 16], help="of the proposed latent frames, in tokens"
    )
    parser.add_argument("--growth", type=int, nargs="+", default=[8, 16, 32], help="latent frames of longer clips")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="a small model and fewer cases: under a minute")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    where = device_setting(given.threads)
    if given.worker is not None:
        print(json.dumps(memory(where, **given.worker)))
        return
    if given.small:
        given.width, given.layers, given.heads, given.kv_heads, given.hidden = 128, 2, 2, 1, 384
        given.growth, given.sides, given.rounds = [8, 16, 32], [8], 3
    figures = measure(given, where)
    print(json.dumps(figures, indent=2) if given.json else table(figures))


def measure(given: argparse.Namespace, where: DeviceSetting) -> dict[str, Any]:
    config = make_config({name: getattr(given, name) for name in SIZES}, given.codes, TRAINING_SIDE)
    torch._dynamo.config.recompile_limit = 64  # of flex_attention, one for each block mask
    return {
        "hardware": describe(),
        **where.description,
        **{name: getattr(config, name) for name in SIZES},
        "codes": given.codes,
        "parameters": sum(weight.numel() for weight in LlamaPrior(config).parameters()),
        "kernel": choose_kernel("auto", where.device),
        "rounds": given.rounds,
        "training": training_case(config, given, where),
        "growth": growth_case(config, given, where),
        "streaming": [streaming_case(config, side, given, where) for side in given.sides],
    }


def training_case(config: PriorConfig, given: argparse.Namespace, where: DeviceSetting) -> dict[str, Any]:
    frames, tokens = given.frames, config.spec.tokens
    calls = training_calls(config, frames, where)
    times = time_alternately(
        {**{name: call() for name, call in calls.items()}, **machine_calls(where)}, given.rounds, where
    )
    return {
        "frames": frames,
        "tokens": tokens,
        **milliseconds(times, TRAINING),
        "tokens_per_second": frames * tokens / statistics.median(times["train"]),
        "train_over_llama": ratio(times["train"], times["llama"]),
        "passes_over_train": ratio(times["passes"], times["train"]),
        "fraction_of_floor": fraction_of_floor(training_work(config, frames), times, "train"),
        "grown_mb": memory_growth(TRAINING, config, frames, TRAINING_SIDE, given.threads),
        **rates(times),
    }


def growth_case(config: PriorConfig, given: argparse.Namespace, where: DeviceSetting) -> dict[str, Any]:
    model = make_prior(config, where)
    calls = {frames: training_step(model, random_batch(config, frames, where)) for frames in given.growth}
    times = time_alternately(calls, max(2, given.rounds // 2), where)
    each = {str(frames): 1e3 * statistics.median(seconds) / frames for frames, seconds in times.items()}
    return {"ms_a_frame": each, "slope": slope(given.growth, [times[frames] for frames in given.growth])}


def streaming_case(config: PriorConfig, side: int, given: argparse.Namespace, where: DeviceSetting) -> dict[str, Any]:
    config = replace(config, spec=config.spec.resized([(side, side)]))
    calls = streaming_calls(config, where)
    times = time_alternately(
        {**{name: call() for name, call in calls.items()}, **machine_calls(where)}, given.rounds, where
    )
    tokens = side * side
    return {
        "tokens": tokens,
        **milliseconds(times, STREAMING),
        "llama_over_proposal": ratio(times["llama_proposal"], times["proposal"]),
        "llama_over_token": ratio(times["llama_token"], times["token"]),
        "tokens_per_second": {
            "proposal": tokens / statistics.median(times["proposal"]),
            "token": 1 / statistics.median(times["token"]),
        },
        "fraction_of_floor": {
            "proposal": fraction_of_floor(
                streaming_work(config, tokens, config.window * tokens, where), times, "proposal"
            ),
            "llama_proposal": fraction_of_floor(
                streaming_work(config, tokens, config.window * tokens, where), times, "llama_proposal"
            ),
            "token": fraction_of_floor(streaming_work(config, 1, config.window * tokens, where), times, "token"),
        },
        "grown_mb": memory_growth(STREAMING, config, given.frames, side, given.threads),
        **rates(times),
    }


def milliseconds(times: Mapping[str, list[float]], names: tuple[str, ...]) -> dict[str, float]:
    return {f"{name}_ms": 1e3 * statistics.median(times[name]) for name in names}


def training_calls(config: PriorConfig, frames: int, where: DeviceSetting) -> dict[str, Callable[[], Call]]:
    """Factories, so that a process that measures the memory of one call creates no other."""
    clips = random_batch(config, frames, where)

    def llama() -> Call:
        llama_model = LlamaBaseline(config, where)
        return lambda: llama_model.step(clips.targets.flatten(1))

    return {
        "train": lambda: training_step(make_prior(config, where), clips),
        "llama": llama,
        "passes": lambda: separate_passes(make_prior(config, where), clips),
    }


def streaming_calls(config: PriorConfig, where: DeviceSetting) -> dict[str, Callable[[], Call]]:
    tokens = config.spec.tokens
    past = config.window * tokens

    def llama(count: int) -> Call:
        llama_model = LlamaBaseline(config, where)
        cache, ids = llama_model.past_of(past), llama_model.random_ids(count)
        return lambda: llama_model.propose(ids, cache)

    return {
        "proposal": lambda: proposal_call(make_prior(config, where)),
        "llama_proposal": lambda: llama(tokens),
        "token": lambda: token_call(make_prior(replace(config, objective="autoregressive"), where)),
        "llama_token": lambda: llama(1),
    }


def memory_growth(
    names: tuple[str, ...], config: PriorConfig, frames: int, side: int, threads: int
) -> dict[str, float]:
    sizes = {name: getattr(config, name) for name in SIZES}
    task = {"codes": config.spec.codebooks[0], "frames": frames, "side": side, **sizes}
    module = "benchmarks.prior.steps"
    return {name: run_in_fresh_process(module, threads, {"name": name, **task})["grown_mb"] for name in names}


def memory(where: DeviceSetting, name: str, codes: int, frames: int, side: int, **sizes: int) -> dict[str, float]:
    """Memory of one call beyond weights and past, in a fresh process."""
    config = make_config(sizes, codes, side)
    calls = training_calls(config, frames, where) if name in TRAINING else streaming_calls(config, where)
    return {"grown_mb": memory_growth_mb(calls[name](), where)}


def table(figures: dict[str, Any]) -> str:
    train, growth = figures["training"], figures["growth"]
    lines = [
        "a prior on {hardware}, torch {torch}, {device}, {precision}, {clock}".format(**figures),
        "  {parameters:,} parameters: width {width}, layers {layers}, heads {heads} ({kv_heads} of keys), "
        "hidden {hidden}, window {window}, kernel {kernel}".format(**figures),
        "training on {frames} frames x {tokens}: {train_ms:.0f} ms, {tokens_per_second:.0f} tokens/s, "
        "fraction of the floor {fraction_of_floor:.2f}".format(**train),
        "  plain step of llama {llama_ms:.0f} ms: ours costs {train_over_llama:.2f}x; "
        "separate passes {passes_ms:.0f} ms: {passes_over_train:.2f}x ours".format(**train),
        "  memory: " + format_values(train["grown_mb"], "{:.0f} MB"),
        f"  longer clips, ms a frame: {format_values(growth['ms_a_frame'], '{:.1f}')}; slope {growth['slope']:.2f}",
    ]
    for each in figures["streaming"]:
        lines += [
            "a frame of {tokens} tokens: proposal {proposal_ms:.1f} ms, llama {llama_proposal_ms:.1f} "
            "({llama_over_proposal:.2f}x); token {token_ms:.2f} ms, llama {llama_token_ms:.2f} "
            "({llama_over_token:.2f}x)".format(**each),
            "  fraction of the floor: " + format_values(each["fraction_of_floor"], "{:.2f}"),
            "  memory: " + format_values(each["grown_mb"], "{:.1f} MB"),
            "  peak {gemm_gflops:.0f} GFLOP/s, {bandwidth_gb_s:.1f} GB/s".format(**each),
        ]
    return "\n".join(lines)


def format_values(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())


if __name__ == "__main__":
    main()
