"""Where float32 is needed whatever a model runs in."""

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Inside, float32 means float32 on a GPU too."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    allow_tf32(convolutions=False, products=False)
    try:
        yield
    finally:
        allow_tf32(*before)
