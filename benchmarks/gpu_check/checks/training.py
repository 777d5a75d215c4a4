"""A training step of a prior as in `videogen train`: losses, time against the roofline, memory."""

import statistics
from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import (
    SEED,
    attempt,
    datasheet_flops,
    device_setting,
    format_ms,
    is_small,
    peak_bytes,
    peaks_of,
    read_config,
    read_section,
)
from benchmarks.measuring import grid_spec, reset_peak_memory, time_calls
from prior.config import ContextConfig, PriorConfig, PriorShape
from prior.laws import random_batch
from prior.model import LlamaPrior
from prior.visibility import Layout
from videogen.evaluation.lab.roofline import head_parameters
from videogen.training.estimate.memory_estimate import fake_tensors, measure_cost, state_bytes
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.stage import TrainedModule

SIDE = 16  # tokens of a row and of a column, on a GPU
STEPS, TIMED = 6, 5
BACKWARD = 2  # a backward pass costs two forward passes: gradients of the weights and of the inputs
LOSS, GRADIENT = 1e-2, 5e-2  # tolerances of a compiled step in bf16


class PresetRun(NamedTuple):
    """A preset, completed by a tokenizer, a text encoder and a batch size."""

    name: str
    config: PriorConfig
    frames: int
    side: int
    batch: int
    recompute: bool


def preset(name: str, device: str) -> PresetRun:
    """The shape of the preset with its longest clips on a GPU; a small one on a CPU."""
    if is_small(device):
        shape = PriorShape(width=64, layers=1, heads=4, kv_heads=2, hidden=128, window=3, objective="masked")
        context = ContextConfig(length=6, features=32)
        return PresetRun(f"small, for {name}", make_config(shape, (8, 5), 4, context), 2, 4, 2, name == "700 M")
    file, codebooks, text, batch = {
        "80 M": ("video_80m", (8, 8, 8, 5, 5, 5), ContextConfig(length=64, features=768), 16),
        "700 M": ("video_700m", (4, 16, 16, 16, 16), ContextConfig(length=96, features=1024), 8),
    }[name]
    given = read_config(f"prior/{file}.yaml")
    frames = max(phase["frames"] for phase in given["phases"])
    shape = read_section(f"prior/{file}.yaml", "prior", PriorShape)
    return PresetRun(name, make_config(shape, codebooks, SIDE, text), frames, SIDE, batch, given["recompute"])


def make_config(shape: PriorShape, codebooks: tuple[int, ...], side: int, context: ContextConfig) -> PriorConfig:
    return PriorConfig(**asdict(shape), spec=grid_spec(codebooks, side), context=context)


def eager_80m(device: str) -> Iterator[Finding]:
    yield from attempt("step 80 M", lambda: eager(preset("80 M", device), device))


def eager_700m(device: str) -> Iterator[Finding]:
    yield from attempt("step 700 M", lambda: eager(preset("700 M", device), device))


def compiled_80m(device: str) -> Iterator[Finding]:
    yield from attempt("step 80 M, compiled", lambda: compiled(preset("80 M", device), device))


def compiled_700m(device: str) -> Iterator[Finding]:
    yield from attempt("step 700 M, compiled", lambda: compiled(preset("700 M", device), device))


class TrainingRun:
    """A network, an optimizer, and one batch to overfit."""

    def __init__(self, given: PresetRun, device: str):
        self.given, self.setting = given, device_setting(device)
        with self.setting.device:
            self.network = LlamaPrior(given.config)
        on_gpu = self.setting.device.type == "cuda"
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-4, fused=on_gpu or None)
        generator = torch.Generator(self.setting.device).manual_seed(SEED)
        self.batch = random_batch(given.config, given.batch, given.frames, given.config.spec, generator)
        self.blocks = self.network.block_mask_for(self.batch, "auto")
        self.norm = torch.zeros(())

    def loss(self) -> Tensor:
        assert self.batch.known is not None
        masked = ~self.batch.known
        with torch.autocast(self.setting.device.type, torch.bfloat16):
            loss = self.network(self.batch, "auto", 0.1, self.given.recompute, self.blocks).loss
            return (loss * masked).sum() / masked.sum()  # type: ignore[no-any-return]

    def step(self) -> Tensor:
        loss = self.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        self.norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def eager(given: PresetRun, device: str) -> Iterator[Finding]:
    training = TrainingRun(given, device)
    on_gpu = training.setting.device.type == "cuda"
    reset_peak_memory(training.setting)
    losses = [float(training.step()) for _ in range(STEPS)]
    finite = all(loss == loss and abs(loss) != float("inf") for loss in losses)
    yield Finding(
        f"step {given.name}, bf16: losses finite and falling", yes_or_no(finite and losses[-1] < losses[0]),
        f"{losses[0]:.3f} to {losses[-1]:.3f}", why=f"{STEPS} steps on one batch: {size(training)}",
        numbers={"losses": losses},
    )  # fmt: skip
    if on_gpu:
        yield memory(training, peak_bytes(training.setting))
    yield timing(f"step {given.name}, bf16", training)


def compiled(given: PresetRun, device: str) -> Iterator[Finding]:
    what, training = f"step {given.name}, compiled", TrainingRun(given, device)
    expected, norm = float(training.step()), float(training.norm)
    own = None if is_small(device) else seconds(training)
    training = TrainingRun(given, device)  # the same weights again
    torch._dynamo.config.recompile_limit = 64
    backend = "aot_eager" if is_small(device) else "inductor"  # on a CPU kernels take minutes to build
    training.network.compile(dynamic=False, backend=backend)
    got: list[float] = []
    built = time_calls(lambda: got.append(float(training.step())), 1, training.setting)
    off, norm_off = abs(got[0] / expected - 1), abs(float(training.norm) / norm - 1)
    yield Finding(
        f"{what}: equals the eager step", yes_or_no(off < LOSS and norm_off < GRADIENT),
        f"loss off by {off:.1e}, gradient by {norm_off:.1e}", f"allowed {LOSS:.0e}, {GRADIENT:.0e}",
        f"the first step, bf16; compiled by {backend} in {built:.0f} s; {size(training)}",
        {"seconds_to_compile": built},
    )  # fmt: skip
    yield timing(what, training, own)


def seconds(training: TrainingRun) -> float:
    training.step()
    return statistics.median(time_calls(training.step, 1, training.setting) for _ in range(TIMED))


def timing(what: str, training: TrainingRun, beside: float | None = None) -> Finding:
    given, setting = training.given, training.setting
    taken, needed = (
        seconds(training),
        training_flop(given.config, training.network.layout_of(training.batch), given.batch),
    )
    reached, rate, sheet = needed / taken, peaks_of(setting).operations, datasheet_flops(setting.device)
    tokens = given.batch * given.frames * given.side**2
    share = "" if sheet is None else f", MFU {100 * reached / sheet:.0f} % of {sheet / 1e12:.0f} TFLOP/s"
    ratio = "" if beside is None else f", {beside / taken:.2f} x the eager step"
    return Finding(
        f"{what}: time", "timed", f"{format_ms(taken)}{share}",
        f"{100 * reached / rate:.0f} % of the machine's rate of matrix products{ratio}",
        f"{tokens / taken:,.0f} tokens per second; {needed / 1e12:.3g} TFLOP that the result needs; {size(training)}",
        {"seconds": taken, "flop": needed, "mfu": sheet and reached / sheet, "own_rate": reached / rate},
    )  # fmt: skip


def size(training: TrainingRun) -> str:
    given, numbers = training.given, sum(p.numel() for p in training.network.parameters())
    again = ", activations recomputed" if given.recompute else ""
    return f"{numbers / 1e6:.3g} M parameters, {given.batch} x {given.frames} frames x {given.side**2} tokens{again}"


def memory(training: TrainingRun, peak: int) -> Finding:
    given = training.given
    estimate = estimated_bytes(given)
    return Finding(
        f"step {given.name}: memory", "timed", f"{peak / 2**30:.2f} GiB at its peak",
        f"{peak / estimate:.2f} of the dry run's {estimate / 2**30:.2f} GiB",
        "the dry run counts weights, gradients, AdamW and activations", {"peak": peak, "estimate": estimate},
    )  # fmt: skip


def estimated_bytes(given: PresetRun) -> int:
    """The estimate of a dry run, without a moving average of the weights."""
    with fake_tensors():
        network = LlamaPrior(given.config)
        clip = random_batch(given.config, 1, given.frames, given.config.spec, torch.Generator())
        step = measure_cost([network], lambda: network(clip, "gathered", 0.1, given.recompute).loss.mean(), "bf16")
        trained = TrainedModule(network, OptimizerConfig(1e-3, 0, "constant"), averaged=False)
        return state_bytes(trained) + given.batch * step.bytes


def training_flop(config: PriorConfig, layout: Layout, batch: int) -> float:
    """Forward and backward of a batch, without masked pairs, padding and recomputation.

    The last block computes only keys and values for frames whose loss does not count.
    """
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    positions, asked = layout.length, layout.frames * layout.tokens
    matrices = config.width * (2 * queries + 2 * keys + 3 * config.hidden)
    seen, seen_by_asked = visible_pairs(layout)
    blocks = (config.layers - 1) * (2 * matrices * positions + 4 * queries * seen)
    last = 2 * matrices * asked + 2 * 2 * config.width * keys * (positions - asked) + 4 * queries * seen_by_asked
    head = 2 * head_parameters(config) * asked
    return float((1 + BACKWARD) * batch * (blocks + last + head))


def visible_pairs(layout: Layout) -> tuple[int, int]:
    """Visible pairs of positions: all, and those whose query counts in the loss."""
    mask = layout.mask()
    return int(mask.sum()), int(mask[-layout.frames * layout.tokens :].sum())
