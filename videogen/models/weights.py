"""Weights from a file to their place, tensor after tensor: no second copy of a network is ever in memory.

with parameters_without_memory():
    network = make(config)
fill(network, read_tensors(file), device, dtype)
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook


@contextmanager
def parameters_without_memory() -> Iterator[None]:
    """Modules that this thread makes have shapes for parameters, and no numbers; buffers are real, for some are tables
    that no file holds."""
    thread = threading.get_ident()

    def without_memory(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if threading.get_ident() != thread or parameter is None or parameter.is_meta:
            return None
        return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)

    hook = register_module_parameter_registration_hook(without_memory)  # type: ignore[arg-type]
    try:
        yield
    finally:
        hook.remove()


def fill(
    network: nn.Module, tensors: Iterable[tuple[str, Tensor]], device: torch.device, dtype: torch.dtype | None = None
) -> None:
    """Gives a network without memory its weights on the device, in `dtype` or the type that it was made with.

    ValueError unless the tensors are exactly those of the network.
    """
    if dtype is not None:
        network.to(dtype)
    network._apply(lambda each: torch.empty_like(each, device=device) if each.is_meta else each.to(device))  # type: ignore[no-untyped-call]
    missing = network.state_dict()
    for name, tensor in tensors:
        if (place := missing.pop(name, None)) is None:
            raise ValueError(f"{name} is not one of its tensors")
        if place.shape != tensor.shape:
            raise ValueError(f"{name} has the shape {list(tensor.shape)}; expected {list(place.shape)}")
        place.copy_(tensor)
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, such as {min(missing)}")
