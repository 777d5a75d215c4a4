"""The time of a proposal with a full window, eager and replayed as one CUDA graph."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.checks.streaming import PROMPT, equal_tokens, stream_tokens
from benchmarks.gpu_check.checks.training import preset
from benchmarks.gpu_check.common import attempt, device_setting, format_ms, is_small, median_seconds, relative_error
from benchmarks.gpu_check.graphed_prior import GraphedPrior
from benchmarks.measuring import DeviceSetting
from prior.laws import random_codes, random_text
from prior.memory import Past
from prior.model import LlamaPrior, as_llama
from prior.network import PriorNetwork
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
        yield from attempt(what, lambda w=what, n=network, s=setting: compare_proposals(w, n, 2, s))  # type: ignore[misc]
        yield from attempt(what, lambda w=what, p=pipe: compare_streams(w, p))  # type: ignore[misc]
    yield from attempt("proposal, 80 M", lambda: large_model(device))


def large_model(device: str) -> Iterator[Finding]:
    given, setting = preset("80 M", device), device_setting(device)
    with setting.device:
        network = LlamaPrior(given.config).to(setting.dtype)
    yield from compare_proposals(f"proposal, {given.name}, bf16", network, 2, setting)


@torch.no_grad()
def compare_proposals(what: str, network: LlamaPrior, streams: int, setting: DeviceSetting) -> Iterator[Finding]:
    network.eval().requires_grad_(False)
    past, graphed, spec = full_past(network, streams, setting.device), GraphedPrior(network), network.spec
    codes_BNK, known_BN = random_frame(network, streams, setting.device)
    masked, decided = (codes_BNK, ~known_BN), (codes_BNK, known_BN)
    expected, got = network.propose(*masked, past)[0].features, graphed.propose(*masked, past)[0].features
    again = graphed.propose(*decided, past)[0].features
    error = max(relative_error(got, expected), relative_error(again, network.propose(*decided, past)[0].features))
    launch = "a CUDA graph" if setting.device.type == "cuda" else "the function of a CUDA graph, without one"
    yield Finding(
        f"{what}: {launch} equals the prior", yes_or_no(error <= TOLERANCE[setting.dtype]),
        "equal to the bit" if error == 0 else f"off by {error:.1e}", f"allowed {TOLERANCE[setting.dtype]:.0e}",
        f"{streams} streams of {spec.tokens} tokens, a full window of {network.config.window}", {"error": error},
    )  # fmt: skip
    eager = median_seconds(lambda: network.propose(*masked, past), setting)
    replayed = median_seconds(lambda: graphed.propose(*masked, past), setting)
    peaks = measured_peaks(setting.device, setting.dtype)
    floor = peaks.floor(pass_cost(network.config, 1, spec.tokens, streams, setting.dtype.itemsize, read=0))
    for name, taken, ratio in (("eager", eager, ""), (launch, replayed, f"{eager / replayed:.1f} x eager, ")):
        yield Finding(
            f"{what}: {name}", "timed", format_ms(taken), f"{ratio}{100 * floor / taken:.0f} % of the roofline",
            f"roofline {format_ms(floor)}", {"seconds": taken, "floor": floor},
        )  # fmt: skip


def random_frame(network: LlamaPrior, streams: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A random latent frame, and that all of it is known."""
    generator = torch.Generator(device).manual_seed(0)
    codes_BNK = random_codes(network.spec, (streams, network.spec.tokens), generator)
    return codes_BNK, torch.ones(codes_BNK.shape[:2], dtype=torch.bool, device=device)


def full_past(network: LlamaPrior, streams: int, device: torch.device) -> Past:
    context = network.config.context
    text = None if context is None else random_text(context, streams, torch.Generator(device).manual_seed(0))
    if text is not None and text.content.is_floating_point():
        text = text._replace(content=text.content.to(network.norm.weight.dtype))
    past, frame = network.begin(text, streams), random_frame(network, streams, device)
    for _ in range(network.config.window + 1):
        past = network.commit(past, network.propose(*frame, past)[1])
    return past


def compare_streams(what: str, pipe: VideoPipeline) -> Iterator[Finding]:
    """Whole streams, eager and replayed: their tokens, and the speedup with sampler and decoder."""
    request = pipe.request([PROMPT], None, 1, 0, {})
    frames = pipe.model.config.window + (3 if is_small(str(pipe.device)) else 12)
    graphed = replace(pipe.model, network=cast(PriorNetwork, GraphedPrior(as_llama(pipe.model.network))))
    (expected, eager), (got, replayed) = (stream_tokens(model, request, frames) for model in (pipe.model, graphed))
    equal = equal_tokens(got, expected)
    yield Finding(
        f"{what}: a stream by replays", "timed",
        f"{pipe.model.spec.frames_per_latent / replayed:.0f} frames per second",
        f"{eager / replayed:.2f} x eager",
        f"{100 * equal:.1f} % of the tokens equal; the time includes the first frames and the recording",
        {"equal": equal, "seconds_a_latent_frame": replayed, "eager": eager},
    )  # fmt: skip
