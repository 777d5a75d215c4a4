"""Flex attention against the definition: values and gradients in bf16, and time beside a dense mask."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu_check import Finding, verdict
from benchmarks.gpu_check.common import apart, attempt, is_small, median_seconds, milliseconds, peaks_of, where
from benchmarks.measuring import Setting, Way
from prior.attention import Kernel, attend, blocks_of
from prior.visibility import Layout

FORWARD, BACKWARD = 1e-2, 2e-2  # bf16 keeps eight bits: two to four thousandths of a value are rounding
BOTH = 3.5  # forward and backward, in operations of a forward pass: two products, and five


class Case(NamedTuple):
    name: str
    layout: Layout
    heads: int
    kv_heads: int
    head_width: int = 64
    timed: bool = False


LARGE = (
    Case("80 M", Layout(65, 9, 256, 8, 0, 2, "together"), 12, 4, timed=True),
    Case("700 M, 13 heads a key", Layout(97, 5, 256, 8, 0, 2, "together"), 26, 2),
    Case("raster order, sinks", Layout(9, 6, 64, 2, 1, 1, "raster"), 4, 1),
    Case("shorter than a block", Layout(3, 2, 9, 2, 0, 2, "together"), 4, 2),
)
SMALL = (
    Case("masked copies", Layout(5, 4, 16, 2, 0, 2, "together"), 4, 2, 16, timed=True),
    Case("raster order, sinks", Layout(3, 4, 9, 2, 1, 1, "raster"), 4, 1, 16),
)


def flex(device: str) -> Iterator[Finding]:
    for case in SMALL if is_small(device) else LARGE:
        what = f"flex, {case.name}"
        yield from attempt(what, lambda case=case, what=what: compared(what, case, "flex", device))  # type: ignore[misc]


def gathered(device: str) -> Iterator[Finding]:
    """The kernel of a CPU, where flex has no gradients; on a GPU it is the way out if flex fails."""
    case = (SMALL if is_small(device) else LARGE)[0]
    yield from attempt("gathered", lambda: compared(f"gathered, {case.name}", case, "gathered", device))


def compared(what: str, case: Case, kernel: Kernel, device: str) -> Iterator[Finding]:
    setting = where(device)
    inputs = vectors(case, setting)
    reference = differentiated(tuple(each.float() for each in inputs), case, "oracle")
    gradients = kernel != "flex" or setting.device.type == "cuda"
    q, k, v, _ = inputs
    got = differentiated(inputs, case, kernel) if gradients else (attend(q, k, v, case.layout, kernel),)
    error = apart(got[0], reference[0])
    size = f"{case.layout.length} positions, {case.heads} heads, {case.kv_heads} of keys"
    yield Finding(
        f"{what}: forward", verdict(error < FORWARD), f"off by {error:.1e}", f"allowed {FORWARD:.0e}",
        f"bf16 beside the definition in float32; {size}", {"error": error},
    )  # fmt: skip
    if not gradients:
        yield Finding(f"{what}: backward", "skipped", why="flex has no backward pass on a CPU")
    else:
        worst = max(apart(one, other) for one, other in zip(got[1:], reference[1:], strict=True))
        yield Finding(
            f"{what}: backward", verdict(worst < BACKWARD), f"off by {worst:.1e}", f"allowed {BACKWARD:.0e}",
            "gradients of queries, keys and values", {"error": worst},
        )  # fmt: skip
    if case.timed:
        yield timing(what, case, kernel, setting, gradients)


def vectors(case: Case, setting: Setting) -> tuple[Tensor, ...]:
    """Queries, keys, values, and a direction for gradients."""
    counts = (case.heads, case.kv_heads, case.kv_heads, case.heads)
    shapes = ((1, case.layout.length, count, case.head_width) for count in counts)
    return tuple(torch.randn(shape, device=setting.device).to(setting.dtype) for shape in shapes)


def differentiated(inputs: tuple[Tensor, ...], case: Case, kernel: Kernel) -> tuple[Tensor, ...]:
    """The output, and the gradients of queries, keys and values."""
    *asked, direction = inputs
    q, k, v = (each.detach().requires_grad_() for each in asked)
    out = attend(q, k, v, case.layout, kernel)
    return out.detach(), *torch.autograd.grad(out, (q, k, v), direction.to(out.dtype))


def timing(what: str, case: Case, kernel: Kernel, setting: Setting, gradients: bool) -> Finding:
    inputs = vectors(case, setting)
    kernels: tuple[Kernel, ...] = (kernel, "dense")
    taken = {name: median_seconds(way(inputs, case, name, gradients), setting) for name in kernels}
    pairs = int(case.layout.mask(setting.device).sum())
    needed = 4 * case.heads * case.head_width * pairs * (BOTH if gradients else 1)
    floor = needed / peaks_of(setting).operations
    part = "forward and backward" if gradients else "forward, not compiled"
    return Finding(
        f"{what}: {part}", "timed", milliseconds(taken[kernel]),
        f"{100 * floor / taken[kernel]:.0f} % of the floor, {taken['dense'] / taken[kernel]:.1f} x a dense mask",
        f"floor: {needed / 1e9:.3g} GFLOP of visible pairs at the machine's rate of products",
        {"seconds": taken[kernel], "dense_seconds": taken["dense"], "floor_seconds": floor},
    )  # fmt: skip


def way(inputs: tuple[Tensor, ...], case: Case, kernel: Kernel, gradients: bool) -> Way:
    if gradients:
        return lambda: differentiated(inputs, case, kernel)
    blocks = blocks_of(case.layout, kernel, inputs[0].device)
    q, k, v, _ = inputs
    return lambda: attend(q, k, v, case.layout, kernel, blocks)
