"""Where float32 is needed whatever a model runs in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """float64 stays, everything below float32 becomes float32."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def allow_tf32(convolutions: bool, products: bool) -> None:
    """Whether NVIDIA GPUs may round the factors of float32 arithmetic to 10 bits: three digits instead of seven.

    torch allows it in convolutions unless told otherwise. It holds for the whole process.
    """
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Inside, float32 means float32 under any autocast too."""
    with torch.autocast(device.type, enabled=False), whole_float32():
        yield


@contextmanager
def whole_float32() -> Iterator[None]:
    """Inside, float32 means float32 on a GPU too; several threads may be inside at once.

    What was set before is read and put back by kind of arithmetic: torch refuses to tell by its older names what was
    set by its newer ones.
    """
    enter_whole_float32()
    try:
        yield
    finally:
        leave_whole_float32()


@torch.compiler.disable  # type: ignore[untyped-decorator]
def enter_whole_float32() -> None:
    with inside_lock:
        if not inside:
            before.extend(kind.fp32_precision for kind in rounded_kinds())
            for kind in rounded_kinds():
                kind.fp32_precision = "ieee"
        inside.append(True)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def leave_whole_float32() -> None:
    with inside_lock:
        inside.pop()
        if not inside:
            for kind, was in zip(rounded_kinds(), before, strict=True):
                kind.fp32_precision = was
            before.clear()


def rounded_kinds() -> tuple[Any, ...]:
    """Arithmetic of float32 whose factors NVIDIA GPUs may round."""
    return torch.backends.cudnn.conv, torch.backends.cuda.matmul  # type: ignore[attr-defined]


inside_lock = threading.Lock()
inside: list[bool] = []  # one for each that is inside, of any thread
before: list[str] = []  # what held for each kind when the first one entered
