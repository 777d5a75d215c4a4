"""Random weights of measures under their published names, and published files made of them."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


def random_state(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep the size of what passes through them, and batch norms that do something."""
    g = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            state[name] = torch.randn(tensor.shape, generator=g) * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = 0.5 + torch.rand(tensor.shape, generator=g)
        elif tensor.is_floating_point():
            state[name] = 0.2 * torch.randn(tensor.shape, generator=g)
        else:
            state[name] = torch.tensor(1000)
    return state


def save(path: Path, weights: Any) -> Path:
    """Safetensors are read faster; other names are those of pickles."""
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)
    return path
