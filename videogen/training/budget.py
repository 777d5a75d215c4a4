"""How much memory training will need, before it begins."""

from collections.abc import Callable

import torch
from torch import nn

from videogen.training.stage import Player


def kept_bytes(player: Player) -> int:
    """Of a player's weights, gradients, moving average and optimizer, in float32."""
    numbers = sum(p.numel() for p in player.module.parameters())
    return 4 * numbers * (2 + (1 if player.optimizer.algorithm == "muon" else 2) + (1 if player.averaged else 0))


def saved_bytes(module: nn.Module, forward: Callable[[], object]) -> int:
    """Of everything that the backward pass of this forward pass would need, each tensor's memory counted once."""
    seen: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)  # so that no address is given out twice
        return tensor

    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = forward()
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    del out
    return sum(size for address, size in seen.items() if address not in weights)
