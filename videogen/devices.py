"""Where to compute, found out before anything is moved there."""

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
