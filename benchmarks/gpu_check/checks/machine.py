"""The device itself: its rates, and whether its random numbers equal those of a CPU."""

import platform
from collections.abc import Iterator

import torch

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import attempt, device_setting
from sampling.rng import counter_rng
from videogen.evaluation.lab.roofline import measured_peaks


def check(device: str) -> Iterator[Finding]:
    place = torch.device(device)
    facts = {
        "torch": f"torch {torch.__version__}, Python {platform.python_version()}",
        "device": describe_device(place),
    }
    peaks = {kind: measured_peaks(place, kind) for kind in (torch.bfloat16, torch.float32)}
    bf16, fp32 = peaks[torch.bfloat16], peaks[torch.float32]
    yield Finding(
        "the machine",
        "timed",
        f"bf16 {bf16.operations / 1e12:.3g} TFLOP/s, float32 {fp32.operations / 1e12:.3g}",
        f"{max(bf16.bandwidth, fp32.bandwidth) / 1e12:.3g} TB/s",
        f"{facts['device']}: a product of large matrices, a sum of long rows",
        {
            **facts,
            "bf16_flops": bf16.operations,
            "float32_flops": fp32.operations,
            "bandwidth": max(bf16.bandwidth, fp32.bandwidth),
        },
    )
    yield from attempt("random numbers equal those of a CPU", lambda: check_random_numbers(device))


def describe_device(device: torch.device) -> str:
    if device.type != "cuda":
        return f"CPU, {torch.get_num_threads()} threads"
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"


def check_random_numbers(device: str) -> Iterator[Finding]:
    """The counter-based generator: wrapping integers, and float64 made from them."""
    place = device_setting(device).device
    seeds, frame = (0, 1, 2**63, -7), 1_000_000
    here, there = (
        counter_rng(seeds, frame, kind).uniforms("codes", 3, 16, 16, 6) for kind in (torch.device("cpu"), place)
    )
    equal = torch.equal(here, there.cpu())
    yield Finding(
        "random numbers equal those of a CPU", yes_or_no(equal), why=f"{here.numel()} uniform numbers, to the bit"
    )
