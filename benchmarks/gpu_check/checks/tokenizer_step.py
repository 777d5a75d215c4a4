"""A training step of a tokenizer in bf16, without a discriminator: losses, time, and rate of its convolutions."""

import statistics
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.checks.training import STEPS, TIMED
from benchmarks.gpu_check.common import (
    SEED,
    attempt,
    device_setting,
    format_ms,
    is_small,
    peaks_of,
    read_config,
    read_section,
)
from benchmarks.measuring import time_calls
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.config import CNNTokenizerConfig


def check(device: str) -> Iterator[Finding]:
    yield from attempt("tokenizer step", lambda: stepped(device))


def stepped(device: str) -> Iterator[Finding]:
    name, batch = ("playroom_64_cpu", 1) if is_small(device) else ("video_128", 16)
    file, setting = f"tokenizer/{name}.yaml", device_setting(device)
    phase = read_config(file)["phases"][0]
    with setting.device:
        network = CNNTokenizer(read_section(file, "tokenizer", CNNTokenizerConfig))
    frames = 5 if is_small(device) else phase["frames"]
    generator = torch.Generator(setting.device).manual_seed(SEED)
    shape = (batch, 3, frames, phase["height"], phase["width"])
    clip = torch.rand(shape, generator=generator, device=setting.device) * 2 - 1
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, fused=setting.device.type == "cuda" or None)

    def step() -> Tensor:
        with torch.autocast(setting.device.type, torch.bfloat16):
            out = network(clip)
            loss: Tensor = (out.clip.float() - clip).abs().mean() + sum(out.losses.values())
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    losses = [float(step()) for _ in range(STEPS)]
    finite = all(loss == loss and abs(loss) != float("inf") for loss in losses)
    size = f"{name}: {batch} x {frames} frames of {phase['height']} x {phase['width']}"
    yield Finding(
        "tokenizer step, bf16: losses finite and falling", yes_or_no(finite and losses[-1] < losses[0]),
        f"{losses[0]:.3f} to {losses[-1]:.3f}", why=f"{STEPS} steps on one batch of noise; {size}",
        numbers={"losses": losses},
    )  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        step()
    taken = statistics.median(time_calls(step, 1, setting) for _ in range(TIMED))
    flop = float(counter.get_total_flops())
    yield Finding(
        "tokenizer step, bf16: time", "timed", format_ms(taken),
        f"{100 * flop / taken / peaks_of(setting).operations:.0f} % of the machine's rate of matrix products",
        f"{batch * frames / taken:,.0f} frames per second; {flop / 1e12:.3g} TFLOP; {size}",
        {"seconds": taken, "flop": flop},
    )  # fmt: skip
