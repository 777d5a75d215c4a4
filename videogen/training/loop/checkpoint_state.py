"""The tensors of a checkpoint: all that later steps depend on, whole and by name.

Sharded weights are gathered for writing and sharded again after reading, so the number of processes may change between
saving and resuming. Every process has to call these functions at the same time.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from videogen.errors import CheckpointError
from videogen.training.loop.module_state import ModuleState, full_tensor, local_shard

KINDS = ("weights", "average", "optimizer")
EXTRA_STATE = "memory.safetensors"  # the file's name since the first version


def capture(states: Mapping[str, ModuleState], extra: nn.Module | None, keep: bool) -> dict[str, dict[str, Tensor]]:
    """File name -> tensors on the CPU; empty tensors in processes that do not write (`keep` is false)."""
    files = {}
    for name, state in states.items():
        for kind, tensors in zip(KINDS, (weights(state), state.average or {}, optimizer_state(state)), strict=True):
            files[f"{name}.{kind}.safetensors"] = {key: to_cpu(tensor, keep) for key, tensor in tensors.items()}
    files[EXTRA_STATE] = {key: to_cpu(tensor, keep) for key, tensor in extra_state_dict(extra).items()}
    return files


def restore(
    states: Mapping[str, ModuleState],
    extra: nn.Module | None,
    read: Callable[[str], dict[str, Tensor]],
    place: object,
) -> None:
    """The inverse of `capture`; CheckpointError naming `place` if the tensors are not those of this run."""
    for name, state in states.items():
        sources = [read(f"{name}.{kind}.safetensors") for kind in KINDS]
        copy_into(weights(state), sources[0], f"{place}: {name}")
        copy_into(state.average or {}, sources[1], f"{place}: average of {name}")
        restore_optimizer(state, sources[2], f"{place}: optimizer of {name}")
    copy_into(extra_state_dict(extra), read(EXTRA_STATE), f"{place}: extra state")


def export_weights(states: Mapping[str, ModuleState], keep: bool) -> dict[str, dict[str, Tensor]]:
    """Module name -> the weights to use: the average of what is averaged, the rest as it is."""
    return {
        name: {key: to_cpu((state.average or {}).get(key, tensor), keep) for key, tensor in weights(state).items()}
        for name, state in states.items()
    }


def weights(state: ModuleState) -> dict[str, Tensor]:
    return dict(state.unwrapped.state_dict())


def extra_state_dict(extra: nn.Module | None) -> dict[str, Tensor]:
    return {} if extra is None else dict(extra.state_dict())


def optimizer_state(state: ModuleState) -> dict[str, Tensor]:
    """`parameter/exp_avg` and so on, for parameters that have been trained."""
    states = state.optimizer.state
    return {
        f"{name}/{key}": value
        for name, parameter in state.parameters.items()
        for key, value in states.get(parameter, {}).items()
    }


def restore_optimizer(state: ModuleState, source: Mapping[str, Tensor], place: str) -> None:
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, value in source.items():
        name, _, entry = key.rpartition("/")
        grouped.setdefault(name, {})[entry] = value
    check_names(grouped, state.parameters, place, all_needed=False)
    states: Any = state.optimizer.state
    on_device = any(group.get("fused") or group.get("capturable") for group in state.optimizer.param_groups)
    for name, parameter in state.parameters.items():
        states.pop(parameter, None)
        if name in grouped:
            restored = {
                entry: shard_like(value, parameter) for entry, value in grouped[name].items() if entry != "step"
            }
            if "step" in grouped[name]:
                restored["step"] = grouped[name]["step"].to(parameter.device if on_device else "cpu")
            states[parameter] = restored


@torch.no_grad()
def copy_into(targets: Mapping[str, Tensor], source: Mapping[str, Tensor], place: str) -> None:
    check_names(source, targets, place, all_needed=True)
    for name, target in targets.items():
        if source[name].shape != target.shape or source[name].dtype != target.dtype:
            given = f"{source[name].dtype} {list(source[name].shape)}"
            raise CheckpointError(f"{place}: '{name}' is {given}; expected {target.dtype} {list(target.shape)}")
        local_shard(target).copy_(local_shard(shard_like(source[name], target)))


def check_names(given: Iterable[str], known: Iterable[str], place: str, all_needed: bool) -> None:
    foreign = sorted(set(given) - set(known))
    missing = sorted(set(known) - set(given)) if all_needed else []
    if foreign or missing:
        problem = f"'{foreign[0]}' is not in this model" if foreign else f"'{missing[0]}' is missing"
        raise CheckpointError(f"{place}: {problem}; the checkpoint is of another configuration")


def to_cpu(tensor: Tensor, keep: bool) -> Tensor:
    full = full_tensor(tensor)
    return full.detach().cpu() if keep else torch.empty(0)


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor on the device of another, sharded as that is."""
    value = value.to(local_shard(like).device)
    if not hasattr(like, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements)
