"""Memory and operations of a training step, counted on fake tensors: nothing is computed and nothing allocated."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from videogen.evaluation.info.decoding import ATTENTION, flops
from videogen.models import count_parameters
from videogen.training.loop.stage import TrainedModule


@dataclass(frozen=True)
class StepCost:
    """Bytes saved for the backward pass, and operations of both passes."""

    bytes: int
    operations: float


def fake_tensors() -> Any:
    """Inside this context tensors have a shape and a type, and no memory."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


def state_bytes(trained: TrainedModule) -> int:
    """Bytes of weights, gradients, moving average and optimizer, in float32."""
    numbers = count_parameters(trained.module)
    return 4 * numbers * (2 + (1 if trained.optimizer.algorithm == "muon" else 2) + (1 if trained.averaged else 0))


def measure_cost(modules: Iterable[nn.Module], step: Callable[[], Tensor], precision: str) -> StepCost:
    """The cost of `step`, which returns a loss."""
    counter = flops.FlopCounterMode(display=False, custom_mapping=ATTENTION)
    with counter:
        total, saved = saved_bytes(modules, lambda: under_autocast(step, precision))
        total.backward()  # type: ignore[no-untyped-call]
    return StepCost(saved, float(counter.get_total_flops()))


def under_autocast(step: Callable[[], Tensor], precision: str) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        return step()


def saved_bytes(modules: Iterable[nn.Module], forward: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """The result of `forward`, and the bytes saved for its backward pass; each storage counts once."""
    seen: dict[int, int] = {}
    kept: list[Tensor] = []  # keeps storages alive, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage._cdata] = storage.nbytes()
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = forward()
    weights = {p.untyped_storage()._cdata for module in modules for p in module.parameters()}
    return out, sum(size for storage, size in seen.items() if storage not in weights)
