"""What training costs, counted on tensors that have shapes and no memory: nothing is computed, and nothing held."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import flop_counter

from videogen.training.loop.stage import Player

flops: Any = flop_counter  # its functions have no types
ATEN = torch.ops.aten
ATTENTION = {  # a CPU's own attention, which torch's counter does not know
    ATEN._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *rest, **more: flops.sdpa_flop_count(q, k, v),
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *rest, **more: (
        flops.sdpa_backward_flop_count(grad, q, k, v)
    ),
}


@dataclass(frozen=True)
class Cost:
    """Of forward and backward passes: bytes that are held between the two, and operations of both."""

    bytes: int
    operations: float


def shapes_only() -> Any:
    """Inside this context tensors have a shape and a type, and no memory."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def kept_bytes(player: Player) -> int:
    """Of a player's weights, gradients, moving average and optimizer, in float32."""
    numbers = sum(p.numel() for p in player.module.parameters())
    return 4 * numbers * (2 + (1 if player.optimizer.algorithm == "muon" else 2) + (1 if player.averaged else 0))


def cost_of(modules: Iterable[nn.Module], step: Callable[[], Tensor], precision: str) -> Cost:
    """Of `step`, which gives what is to be minimised."""
    counter = flops.FlopCounterMode(display=False, custom_mapping=ATTENTION)
    with counter:
        total, saved = saved_bytes(modules, lambda: in_precision(step, precision))
        total.backward()  # type: ignore[no-untyped-call]
    return Cost(saved, float(counter.get_total_flops()))


def in_precision(step: Callable[[], Tensor], precision: str) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        return step()


def saved_bytes(modules: Iterable[nn.Module], forward: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """What it gives, and the bytes of all that its backward pass would need, each tensor's memory counted once."""
    seen: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no storage is given out twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage._cdata] = storage.nbytes()
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = forward()
    weights = {p.untyped_storage()._cdata for module in modules for p in module.parameters()}
    return out, sum(size for storage, size in seen.items() if storage not in weights)
