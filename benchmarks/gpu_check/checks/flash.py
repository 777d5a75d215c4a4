"""flash-attn, if installed, against the attention of torch over the keys of a stream."""

from collections.abc import Iterator

import torch

from benchmarks.gpu_check import Finding, yes_or_no
from benchmarks.gpu_check.common import device_setting, format_ms, median_seconds, relative_error
from prior import attention

TOLERANCE = 1e-2


def check(device: str) -> Iterator[Finding]:
    setting = device_setting(device)
    shapes = ((2, 256, 12, 64), (2, 4, 2369, 64), (2, 4, 2369, 64))
    q, keys, values = (torch.randn(shape, device=setting.device).to(setting.dtype) for shape in shapes)
    if not attention.can_use_flash(q):
        yield Finding("flash-attn", "skipped", why="installed, but not for this device")
        return
    expected = attention.attend_all(q.float(), keys.float(), values.float())
    error = relative_error(attention.flash(q, keys, values), expected)
    yield Finding(
        "flash-attn: a proposal's keys", yes_or_no(error < TOLERANCE),
        f"off by {error:.1e}", f"allowed {TOLERANCE:.0e}",
        "bf16 beside torch's in float32: 256 queries, 2,369 keys, 12 heads, 4 of keys", {"error": error},
    )  # fmt: skip
    own = median_seconds(lambda: attention.flash(q, keys, values), setting)
    found, attention.can_use_flash = attention.can_use_flash, lambda q: False
    try:
        torchs = median_seconds(lambda: attention.attend_all(q, keys, values), setting)
    finally:
        attention.can_use_flash = found
    yield Finding(
        "flash-attn: time",
        "timed",
        format_ms(own),
        f"{torchs / own:.2f} x torch's own",
        numbers={"seconds": own, "torch": torchs},
    )
