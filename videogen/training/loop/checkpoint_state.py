"""All that a later step depends on, as whole tensors by name: what a checkpoint holds and how it is put back.

Where weights are sharded over processes, each is put together for writing and cut up again after reading, so a
checkpoint can be resumed by another number of processes. Every process has to call these functions, in step.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from videogen.errors import CheckpointError
from videogen.training.loop.module_state import Seat, local, whole

KINDS = ("weights", "average", "optimizer")


def capture(seats: Mapping[str, Seat], memory: nn.Module | None, keep: bool) -> dict[str, dict[str, Tensor]]:
    """File name -> tensors on the CPU. Only a process that writes (`keep`) holds on to them."""
    files = {}
    for name, seat in seats.items():
        for kind, tensors in zip(KINDS, (weights(seat), seat.average or {}, optimizer_state(seat)), strict=True):
            files[f"{name}.{kind}.safetensors"] = {key: fetched(tensor, keep) for key, tensor in tensors.items()}
    files["memory.safetensors"] = {key: fetched(tensor, keep) for key, tensor in buffers_of(memory).items()}
    return files


def restore(
    seats: Mapping[str, Seat], memory: nn.Module | None, read: Callable[[str], dict[str, Tensor]], place: object
) -> None:
    """The opposite of `capture`; CheckpointError naming `place` if the tensors are not those of this run."""
    for name, seat in seats.items():
        sources = [read(f"{name}.{kind}.safetensors") for kind in KINDS]
        put_back(weights(seat), sources[0], f"{place}: {name}")
        put_back(seat.average or {}, sources[1], f"{place}: average of {name}")
        restore_optimizer(seat, sources[2], f"{place}: optimizer of {name}")
    put_back(buffers_of(memory), read("memory.safetensors"), f"{place}: memory")


def exported(seats: Mapping[str, Seat], keep: bool) -> dict[str, dict[str, Tensor]]:
    """Player -> its weights for use: the average where there is one, and buffers as they are."""
    return {
        name: {key: fetched((seat.average or {}).get(key, tensor), keep) for key, tensor in weights(seat).items()}
        for name, seat in seats.items()
    }


def weights(seat: Seat) -> dict[str, Tensor]:
    return dict(seat.plain.state_dict())


def buffers_of(memory: nn.Module | None) -> dict[str, Tensor]:
    return {} if memory is None else dict(memory.state_dict())


def optimizer_state(seat: Seat) -> dict[str, Tensor]:
    """`parameter/exp_avg` and so on, for the parameters that have been trained."""
    states = seat.optimizer.state
    return {
        f"{name}/{key}": value
        for name, parameter in seat.parameters.items()
        for key, value in states.get(parameter, {}).items()
    }


def restore_optimizer(seat: Seat, source: Mapping[str, Tensor], place: str) -> None:
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, value in source.items():
        name, _, word = key.rpartition("/")
        grouped.setdefault(name, {})[word] = value
    check_names(grouped, seat.parameters, place, all_needed=False)
    states: Any = seat.optimizer.state
    on_device = any(group.get("fused") or group.get("capturable") for group in seat.optimizer.param_groups)
    for name, parameter in seat.parameters.items():
        states.pop(parameter, None)
        if name in grouped:
            state = {word: laid_out(value, parameter) for word, value in grouped[name].items() if word != "step"}
            if "step" in grouped[name]:
                state["step"] = grouped[name]["step"].to(parameter.device if on_device else "cpu")
            states[parameter] = state


@torch.no_grad()
def put_back(targets: Mapping[str, Tensor], source: Mapping[str, Tensor], place: str) -> None:
    check_names(source, targets, place, all_needed=True)
    for name, target in targets.items():
        if source[name].shape != target.shape or source[name].dtype != target.dtype:
            given = f"{source[name].dtype} {list(source[name].shape)}"
            raise CheckpointError(f"{place}: '{name}' is {given}; expected {target.dtype} {list(target.shape)}")
        local(target).copy_(local(laid_out(source[name], target)))


def check_names(given: Iterable[str], known: Iterable[str], place: str, all_needed: bool) -> None:
    foreign = sorted(set(given) - set(known))
    missing = sorted(set(known) - set(given)) if all_needed else []
    if foreign or missing:
        words = f"'{foreign[0]}' is not in this model" if foreign else f"'{missing[0]}' is missing"
        raise CheckpointError(f"{place}: {words}; the checkpoint is of another configuration")


def fetched(tensor: Tensor, keep: bool) -> Tensor:
    full = whole(tensor)
    return full.detach().cpu() if keep else torch.empty(0)


def laid_out(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, on the device of another and cut up as that is."""
    value = value.to(local(like).device)
    if not hasattr(like, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements)
