"""Where float32 is needed whatever a model runs in."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """float64 stays, everything below float32 becomes float32."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
