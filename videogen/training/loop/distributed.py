"""Running in one process or many, as accelerate is set up: the collective operations of the loop."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs  # type: ignore[import-untyped]
from accelerate.state import AcceleratorState  # type: ignore[import-untyped]
from accelerate.utils import (  # type: ignore[import-untyped]
    DistributedType,
    DynamoBackend,
    FullyShardedDataParallelPlugin,
    broadcast,
    gather_object,
    parse_flag_from_env,
)
from torch import Tensor
from torch.distributed.fsdp import MixedPrecisionPolicy

from tokenizer.precision import allow_tf32
from videogen.errors import UsageError

__all__ = [
    "Accelerator",
    "DistributedType",
    "all_reduce_mean",
    "broadcast_int",
    "data_device",
    "gather_lists",
    "processes",
]

T = TypeVar("T")
SUPPORTED = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.FSDP}


def data_device() -> str:
    """Where this process encodes clips and captions: on the GPU that it will train on, if there is one.

    This turns TF32 off, so that codes equal those of `videogen encode`.
    """
    if not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"):
        return "cpu"
    allow_tf32(convolutions=False, products=False)
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"


@contextmanager
def processes(bf16: bool) -> Iterator[tuple[Accelerator, DistributedDataParallelKwargs]]:
    """accelerate's Accelerator, and the settings of DDP, which may change until the first `prepare`."""
    settings = DistributedDataParallelKwargs()
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[settings])
    try:
        kind = accelerator.distributed_type
        if kind not in SUPPORTED or (kind == DistributedType.FSDP and not accelerator.is_fsdp2):
            raise UsageError(
                f"accelerate is set to {kind.value}; training supports one process, DDP, and FSDP with fsdp_version: 2"
            )
        if (backend := accelerator.state.dynamo_plugin.backend) != DynamoBackend.NO:
            raise UsageError(
                f"accelerate is set to compile (dynamo backend {backend.value.lower()}); set that to no, and "
                "training.compile to true"
            )
        accelerator.gradient_accumulation_steps = 1  # the loop accumulates, whatever a launcher has set
        if bf16 and kind == DistributedType.FSDP:
            reduce_in_float32(accelerator.state.fsdp_plugin)
        yield accelerator, settings
    finally:
        AcceleratorState._reset_state()  # or the next run in this process could not choose its precision


def reduce_in_float32(plugin: FullyShardedDataParallelPlugin) -> None:
    """Send and multiply weights in bfloat16, but keep losses and the sums of gradients in float32.

    accelerate's own policy would round both to bfloat16.
    """
    plugin.mixed_precision_policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def all_reduce_mean(accelerator: Accelerator, tensor: Tensor) -> Tensor:
    if accelerator.num_processes == 1:
        return tensor
    return accelerator.reduce(tensor.detach().to(accelerator.device), "mean")  # type: ignore[no-any-return]


def broadcast_int(accelerator: Accelerator, number: int) -> int:
    """The number of process 0, in all processes."""
    if accelerator.num_processes == 1:
        return number
    return int(broadcast(torch.tensor([number], device=accelerator.device)).item())


def gather_lists(accelerator: Accelerator, items: list[T]) -> list[T]:
    """The items of all processes, in order of rank."""
    return items if accelerator.num_processes == 1 else list(gather_object(items))
