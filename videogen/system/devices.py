"""Checks a device before anything is moved there."""

import os
from typing import TYPE_CHECKING

from videogen.errors import ResourceError, UsageError

if TYPE_CHECKING:
    import torch


def usable_device(name: "str | torch.device", option: str = "device") -> "torch.device":
    """The device; ResourceError if torch cannot use it, UsageError if the name is invalid.

    Positions and random numbers need float64, which some devices lack.
    """
    import torch

    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise UsageError(f"{option} {name}: not a device; expected for example cpu, cuda or cuda:1") from None
    try:
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ResourceError(f"{option} {name}: torch cannot use it here ({reason})") from None
    return device


def use_device(name: str) -> str:
    """The device of the option --device, without TF32 in this process and its children: so tokens do not depend on it.

    Raises as `usable_device` does.
    """
    from tokenizer.precision import allow_tf32

    allow_tf32(convolutions=False, products=False)
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # NVIDIA's libraries read it when a worker process starts
    return str(usable_device(name, "--device"))
