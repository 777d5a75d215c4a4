"""Float32 arithmetic where it is needed, whatever precision a model runs in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Float64 stays; everything below float32 becomes float32."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def allow_tf32(convolutions: bool, products: bool) -> None:
    """Whether NVIDIA GPUs may round the factors of float32 arithmetic to 10 bits, in the whole process.

    torch allows it in convolutions by default.
    """
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Float32 arithmetic without rounding: no autocast, no TF32."""
    with torch.autocast(device.type, enabled=False), without_tf32():
        yield


@contextmanager
def without_tf32() -> Iterator[None]:
    """Float32 arithmetic without TF32 on GPUs; several threads may be inside at once.

    The settings are read and restored for each kind of arithmetic, because torch raises an error where a setting made
    with its newer names is read with its older ones.
    """
    disable_tf32()
    try:
        yield
    finally:
        restore_tf32()


@torch.compiler.disable  # type: ignore[untyped-decorator]
def disable_tf32() -> None:
    with lock:
        if not inside:
            settings.extend(backend.fp32_precision for backend in tf32_backends())
            for backend in tf32_backends():
                backend.fp32_precision = "ieee"
        inside.append(True)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def restore_tf32() -> None:
    with lock:
        inside.pop()
        if not inside:
            for backend, setting in zip(tf32_backends(), settings, strict=True):
                backend.fp32_precision = setting
            settings.clear()


def tf32_backends() -> tuple[Any, ...]:
    """The kinds of float32 arithmetic that NVIDIA GPUs may round."""
    return torch.backends.cudnn.conv, torch.backends.cuda.matmul  # type: ignore[attr-defined]


lock = threading.Lock()
inside: list[bool] = []  # one entry for each caller inside, of any thread
settings: list[str] = []  # of each backend, before the first caller entered
