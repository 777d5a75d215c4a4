"""How long a proposal takes with a full window, launch by launch and replayed as one CUDA graph."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.checks.streaming import PROMPT, stream_tokens
from benchmarks.gpu_check.checks.training import preset
from benchmarks.gpu_check.common import attempt, device_setting, format_ms, is_small, median_seconds, relative_error
from benchmarks.gpu_check.graphed_prior import GraphedPrior
from benchmarks.measuring import DeviceSetting
from interfaces.tokens import TokenSpec
from prior.laws import random_codes, random_text
from prior.memory import Past
from prior.model import LlamaPrior
from videogen.evaluation.lab.roofline import measured_peaks, pass_cost
from videogen.pipeline import VideoPipeline

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


def check(device: str) -> Iterator[Finding]:
    kinds = (torch.float32,) if is_small(device) else (torch.bfloat16, torch.float32)
    for dtype in kinds:
        pipe = VideoPipeline.from_pretrained(device=device, dtype=dtype)
        what = f"proposal, bundled model, {str(dtype).removeprefix('torch.')}"
        setting = device_setting(device, dtype)
        network = pipe.model.network
        yield from attempt(what, lambda w=what, n=network, s=setting: compare_proposals(w, n, 2, n.spec, s))  # type: ignore[misc]
        yield from attempt(what, lambda w=what, p=pipe: compare_streams(w, p))  # type: ignore[misc]
    yield from attempt("proposal, 80 M", lambda: large_model(device))


def large_model(device: str) -> Iterator[Finding]:
    given, setting = preset("80 M", device), device_setting(device)
    with setting.device:
        network = LlamaPrior(given.config).to(setting.dtype)
    yield from compare_proposals(f"proposal, {given.name}, bf16", network, 2, given.config.spec, setting)


@torch.no_grad()
def compare_proposals(
    what: str, network: LlamaPrior, streams: int, spec: TokenSpec, setting: DeviceSetting
) -> Iterator[Finding]:
    network.eval().requires_grad_(False)
    past, graphed = full_past(network, streams, spec, setting.device), GraphedPrior(network)
    codes = random_codes(spec, (streams, spec.tokens), torch.Generator(setting.device).manual_seed(1))
    known = torch.ones(codes.shape[:2], dtype=torch.bool, device=setting.device)
    masked, decided = (codes, ~known, past), (codes, known, past)
    error = max(
        relative_error(graphed.propose(*each)[0].features, network.propose(*each)[0].features)
        for each in (masked, decided)
    )
    launch = "a CUDA graph" if setting.device.type == "cuda" else "the function of a CUDA graph, without one"
    yield Finding(
        f"{what}: {launch} answers as the prior", yes_or_no(error <= TOLERANCE[setting.dtype]),
        "equal to the bit" if error == 0 else f"off by {error:.1e}", f"allowed {TOLERANCE[setting.dtype]:.0e}",
        f"{streams} streams of {spec.tokens} tokens, a full window of {network.config.window}",
        {"error": error},
    )  # fmt: skip
    eager = median_seconds(lambda: network.propose(*masked), setting)
    replayed = median_seconds(lambda: graphed.propose(*masked), setting)
    peaks = measured_peaks(setting.device, setting.dtype)
    floor = peaks.floor(pass_cost(network.config, 1, spec.tokens, streams, setting.dtype.itemsize, read=0))
    for name, taken, ratio in (("eager", eager, ""), (launch, replayed, f"{eager / replayed:.1f} x eager, ")):
        yield Finding(
            f"{what}: {name}", "timed", format_ms(taken), f"{ratio}{100 * floor / taken:.0f} % of the floor",
            f"floor {format_ms(floor)}", {"seconds": taken, "floor": floor},
        )  # fmt: skip


def full_past(network: LlamaPrior, streams: int, spec: TokenSpec, device: torch.device) -> Past:
    context = network.config.context
    text = None if context is None else random_text(context, streams, torch.Generator(device).manual_seed(0))
    if text is not None and text.content.is_floating_point():
        text = text._replace(content=text.content.to(network.norm.weight.dtype))
    past, known = network.begin(text, streams, spec), torch.ones(streams, spec.tokens, dtype=torch.bool, device=device)
    for number in range(network.config.sink_frames + network.config.window + 1):
        codes = random_codes(spec, (streams, spec.tokens), torch.Generator(device).manual_seed(number))
        past = network.commit(past, network.propose(codes, known, past)[1])
    return past


def compare_streams(what: str, pipe: VideoPipeline) -> Iterator[Finding]:
    """Streams of frames: the same tokens, and what the replays are worth once sampler and decoder are in."""
    job, frames = (
        pipe.request([PROMPT], None, 1, 0, {}),
        pipe.model.config.window + (3 if is_small(str(pipe.device)) else 12),
    )
    graphed = replace(pipe.model, network=cast(LlamaPrior, GraphedPrior(pipe.model.network)))
    (expected, eager), (got, replayed) = (stream_tokens(model, job, frames) for model in (pipe.model, graphed))
    equal = float((got == expected).float().mean())
    yield Finding(
        f"{what}: a stream by replays", "timed", f"{pipe.model.spec.frames_per_latent / replayed:.0f} frames a second",
        f"{eager / replayed:.2f} x eager",
        f"{100 * equal:.1f} % of the tokens equal; the first frames and the recording are counted",
        {"equal": equal, "seconds_a_latent_frame": replayed, "eager": eager},
    )  # fmt: skip
