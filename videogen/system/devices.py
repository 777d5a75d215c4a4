"""Where to compute, found out before anything is moved there."""

import os
from typing import TYPE_CHECKING

from videogen.errors import ResourceError, UsageError

if TYPE_CHECKING:
    import torch


def usable(name: "str | torch.device", said: str = "device") -> "torch.device":
    """The device, if torch can compute there as models do; ResourceError otherwise, UsageError for what names none.

    Positions and draws are computed in float64, which not every device has.
    """
    import torch

    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise UsageError(f"{said} {name}: no name of a device; expected such as cpu, cuda, cuda:1") from None
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ResourceError(f"{said} {name}: torch cannot use it here ({reason})") from None
    return device


def use_device(name: str) -> str:
    """The device of the option --device; float32 stays float32 there, in this process and in those that it starts.

    Without TF32, tokens are the same on every device. Raises as `usable` does.
    """
    from tokenizer.precision import allow_tf32

    allow_tf32(convolutions=False, products=False)
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # NVIDIA's libraries read it when a worker process starts
    return str(usable(name, "--device"))
