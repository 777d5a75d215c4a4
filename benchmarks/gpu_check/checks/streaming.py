"""The bundled model on the device: tokens and frames against a CPU in float32, and streaming speed."""

import time
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import attempt, is_small
from videogen.generate import Context, GenerationRequest, exact_clock, prefill, step
from videogen.io.pixels import to_frames
from videogen.models import PriorModel
from videogen.pipeline import VideoPipeline

PROMPT = "a small red ring drifts left slowly over a dark blue background"
EQUAL_SHARE, EQUAL_SHARE_BF16 = 0.99, 0.8  # of tokens: rounding may move a draw across a border
MIN_PSNR = 45.0  # dB
TYPES = {"float32": EQUAL_SHARE, "bfloat16": EQUAL_SHARE_BF16}


def check(device: str) -> Iterator[Finding]:
    frames = 3 if is_small(device) else 12
    pipe = VideoPipeline.from_pretrained()
    request = pipe.request([PROMPT], None, 1, 0, {})
    expected, on_cpu = stream_tokens(pipe.model, request, frames)
    yield from attempt("frames", lambda: compare_frames(pipe.model, expected, device))
    for dtype, allowed in TYPES.items():
        model = VideoPipeline.from_pretrained(device=device, dtype=dtype).model
        compare = partial(compare_tokens, model, request, expected, dtype, allowed)
        yield from attempt(f"tokens, {dtype}", compare)
        yield from attempt(f"stream, {dtype}", partial(time_stream, model, request, frames, dtype, on_cpu))


@torch.no_grad()
def stream_tokens(model: PriorModel, request: GenerationRequest, frames: int) -> tuple[Tensor, float]:
    """Codes [1, T, N, K], and seconds per latent frame."""
    state, codes, clock = prefill(model, request), [], exact_clock(model)
    began = clock()
    for _ in range(frames):
        state, output = step(model, request, state)
        codes.append(output.codes_BNK)
    return torch.stack(codes, 1), (clock() - began) / frames


def compare_tokens(
    model: PriorModel, request: GenerationRequest, expected: Tensor, dtype: str, allowed: float
) -> Iterator[Finding]:
    """Samples each latent frame after the history of the CPU, so that one different draw does not change the rest."""
    equal = []
    for t in range(expected.shape[1]):
        context = Context(expected[:, :t].to(model.device), model.spec)
        _, output = step(model, request, prefill(model, request, context))
        equal.append(equal_tokens(output.codes_BNK.cpu(), expected[:, t]))
    share, free = sum(equal) / len(equal), stream_tokens(model, request, expected.shape[1])[0].cpu()
    whole = equal_tokens(free, expected)
    yield Finding(
        f"bundled model, {dtype}: tokens of a CPU in float32", yes_or_no(share >= allowed),
        f"{100 * share:.2f} % equal", f"at least {100 * allowed:.0f} %",
        f"{expected[..., 0].numel()} tokens, each latent frame after the same history; in a stream {100 * whole:.1f} %",
        {"equal": share, "equal_in_a_stream": whole},
    )  # fmt: skip


def equal_tokens(one: Tensor, other: Tensor) -> float:
    return float((one == other).all(-1).float().mean())


@torch.no_grad()
def compare_frames(model: PriorModel, codes: Tensor, device: str) -> Iterator[Finding]:
    """Decodes the same tokens on the CPU and on the device."""
    expected = to_frames(model.tokenizer.network.decode(codes, model.spec)[0])
    there = VideoPipeline.from_pretrained(device=device).model.tokenizer.network
    got = to_frames(there.decode(codes.to(device), model.spec)[0]).cpu()
    difference = got.double() - expected.double()
    error, worst = float(difference.square().mean()), int(difference.abs().max())
    decibel = 10 * torch.log10(torch.tensor(255.0**2 / max(error, 1e-12))).item()
    yield Finding(
        "bundled model: frames of the same tokens", yes_or_no(decibel >= MIN_PSNR),
        "equal to the byte" if worst == 0 else f"{decibel:.1f} dB", f"at least {MIN_PSNR:.0f} dB",
        f"{expected.shape[1]} frames compared to those of a CPU; the largest difference is {worst} of 255",
        {"psnr": decibel, "worst": worst},
    )  # fmt: skip


def time_stream(
    model: PriorModel, request: GenerationRequest, frames: int, dtype: str, on_cpu: float
) -> Iterator[Finding]:
    first = first_frame(model, request)
    _, taken = stream_tokens(model, request, frames)
    steps = request.sampler.steps
    rate = model.spec.frames_per_latent / taken
    yield Finding(
        f"bundled model, {dtype}: a stream", "timed",
        f"{rate:.0f} frames per second, the first after {1e3 * first:.0f} ms",
        f"{rate / model.clips.fps:.1f} x real time, {on_cpu / taken:.1f} x a CPU in float32",
        f"{frames} latent frames of {steps} proposals with guidance, eager",
        {"seconds_a_latent_frame": taken, "first": first},
    )  # fmt: skip


def first_frame(model: PriorModel, request: GenerationRequest) -> float:
    """Seconds from a prompt to its first frame in CPU memory, the second time: the first call loads kernels."""
    taken = 0.0
    for _ in range(2):
        began = time.perf_counter()
        step(model, request, prefill(model, request))[1].frames.cpu()
        taken = time.perf_counter() - began
    return taken
