"""Flex attention against the reference: values and gradients in bf16, and time relative to a dense mask."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import (
    attempt,
    device_setting,
    format_ms,
    is_small,
    median_seconds,
    peaks_of,
    relative_error,
)
from benchmarks.measuring import Call, DeviceSetting
from prior.attention import Kernel, attend, block_mask_of
from prior.visibility import Layout

FORWARD, BACKWARD = 1e-2, 2e-2  # bf16 rounds by two to four thousandths
BOTH_PASSES = 3.5  # operations of forward (two products) and backward (five) over those of forward


class AttentionCase(NamedTuple):
    name: str
    layout: Layout
    heads: int
    kv_heads: int
    head_width: int = 64
    timed: bool = False


LARGE = (
    AttentionCase("80 M", Layout(65, 9, 256, 8, 2, "together"), 12, 4, timed=True),
    AttentionCase("700 M, 13 heads a key", Layout(97, 5, 256, 8, 2, "together"), 26, 2),
    AttentionCase("raster order", Layout(9, 6, 64, 2, 1, "raster"), 4, 1),
    AttentionCase("shorter than a block", Layout(3, 2, 9, 2, 2, "together"), 4, 2),
)
SMALL = (
    AttentionCase("masked copies", Layout(5, 4, 16, 2, 2, "together"), 4, 2, 16, timed=True),
    AttentionCase("raster order", Layout(3, 4, 9, 2, 1, "raster"), 4, 1, 16),
)


def flex(device: str) -> Iterator[Finding]:
    for case in SMALL if is_small(device) else LARGE:
        what = f"flex, {case.name}"
        yield from attempt(what, lambda case=case, what=what: compare_kernels(what, case, "flex", device))  # type: ignore[misc]


def gathered(device: str) -> Iterator[Finding]:
    """The kernel for CPUs, where flex has no gradients; on a GPU it is the fallback."""
    case = (SMALL if is_small(device) else LARGE)[0]
    yield from attempt("gathered", lambda: compare_kernels(f"gathered, {case.name}", case, "gathered", device))


def compare_kernels(what: str, case: AttentionCase, kernel: Kernel, device: str) -> Iterator[Finding]:
    setting = device_setting(device)
    inputs = random_inputs(case, setting)
    reference = output_and_gradients(tuple(each.float() for each in inputs), case, "oracle")
    gradients = kernel != "flex" or setting.device.type == "cuda"
    q, k, v, _ = inputs
    got = output_and_gradients(inputs, case, kernel) if gradients else (attend(q, k, v, case.layout, kernel),)
    error = relative_error(got[0], reference[0])
    size = f"{case.layout.length} positions, {case.heads} heads, {case.kv_heads} of keys"
    yield Finding(
        f"{what}: forward", yes_or_no(error < FORWARD), f"off by {error:.1e}", f"allowed {FORWARD:.0e}",
        f"bf16 against the reference in float32; {size}", {"error": error},
    )  # fmt: skip
    if not gradients:
        yield Finding(f"{what}: backward", "skipped", why="flex has no backward pass on a CPU")
    else:
        worst = max(relative_error(one, other) for one, other in zip(got[1:], reference[1:], strict=True))
        yield Finding(
            f"{what}: backward", yes_or_no(worst < BACKWARD), f"off by {worst:.1e}", f"allowed {BACKWARD:.0e}",
            "gradients of queries, keys and values", {"error": worst},
        )  # fmt: skip
    if case.timed:
        yield time_kernel(what, case, kernel, setting, gradients)


def random_inputs(case: AttentionCase, setting: DeviceSetting) -> tuple[Tensor, ...]:
    """Queries, keys, values, and a direction of the gradient."""
    counts = (case.heads, case.kv_heads, case.kv_heads, case.heads)
    shapes = ((1, case.layout.length, count, case.head_width) for count in counts)
    return tuple(torch.randn(shape, device=setting.device).to(setting.dtype) for shape in shapes)


def output_and_gradients(inputs: tuple[Tensor, ...], case: AttentionCase, kernel: Kernel) -> tuple[Tensor, ...]:
    """The output, and the gradients of queries, keys and values."""
    *asked, direction = inputs
    q, k, v = (each.detach().requires_grad_() for each in asked)
    out = attend(q, k, v, case.layout, kernel)
    return out.detach(), *torch.autograd.grad(out, (q, k, v), direction.to(out.dtype))


def time_kernel(what: str, case: AttentionCase, kernel: Kernel, setting: DeviceSetting, gradients: bool) -> Finding:
    inputs = random_inputs(case, setting)
    kernels: tuple[Kernel, ...] = (kernel, "dense")
    taken = {name: median_seconds(attention_call(inputs, case, name, gradients), setting) for name in kernels}
    pairs = int(case.layout.mask(setting.device).sum())
    needed = 4 * case.heads * case.head_width * pairs * (BOTH_PASSES if gradients else 1)
    floor = needed / peaks_of(setting).operations
    part = "forward and backward" if gradients else "forward, not compiled"
    return Finding(
        f"{what}: {part}", "timed", format_ms(taken[kernel]),
        f"{100 * floor / taken[kernel]:.0f} % of the roofline, {taken['dense'] / taken[kernel]:.1f} x a dense mask",
        f"roofline: {needed / 1e9:.3g} GFLOP of visible pairs at the machine's rate of matrix products",
        {"seconds": taken[kernel], "dense_seconds": taken["dense"], "floor_seconds": floor},
    )  # fmt: skip


def attention_call(inputs: tuple[Tensor, ...], case: AttentionCase, kernel: Kernel, gradients: bool) -> Call:
    if gradients:
        return lambda: output_and_gradients(inputs, case, kernel)
    blocks = block_mask_of(case.layout, kernel, inputs[0].device)
    q, k, v, _ = inputs
    return lambda: attend(q, k, v, case.layout, kernel, blocks)
