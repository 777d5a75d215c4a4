"""One process or many, as accelerate's own settings say: what they have to agree on, and how."""

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
    "agreed",
    "device_for_lessons",
    "from_everyone",
    "mean_over_processes",
    "processes",
]

T = TypeVar("T")
SUPPORTED = {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.FSDP}


def device_for_lessons() -> str:
    """Where this process makes its lessons ready: on the GPU that it will train on, if there is one.

    From then on float32 means float32 there: the ids are those that `videogen encode` makes.
    """
    if not torch.cuda.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"):
        return "cpu"
    allow_tf32(convolutions=False, products=False)
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"


@contextmanager
def processes(bf16: bool) -> Iterator[tuple[Accelerator, DistributedDataParallelKwargs]]:
    """accelerate's face, and the settings of DDP, which may be changed until the first `prepare`."""
    settings = DistributedDataParallelKwargs()
    accelerator = Accelerator(mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[settings])
    try:
        kind = accelerator.distributed_type
        if kind not in SUPPORTED or (kind == DistributedType.FSDP and not accelerator.is_fsdp2):
            raise UsageError(
                f"accelerate is set to {kind.value}; training knows one process, DDP, and FSDP with fsdp_version: 2"
            )
        if (backend := accelerator.state.dynamo_plugin.backend) != DynamoBackend.NO:
            raise UsageError(
                f"accelerate is set to compile (dynamo backend {backend.value.lower()}); set that to no, and "
                "training.compile to true"
            )
        accelerator.gradient_accumulation_steps = 1  # the loop accumulates, whatever a launcher was told
        if bf16 and kind == DistributedType.FSDP:
            sum_in_float32(accelerator.state.fsdp_plugin)
        yield accelerator, settings
    finally:
        AcceleratorState._reset_state()  # or the next run in this process could not choose its precision


def sum_in_float32(plugin: FullyShardedDataParallelPlugin) -> None:
    """Weights travel and multiply in bfloat16. By accelerate's own policy losses, too, would be rounded to its three
    digits, and gradients added up in it over all GPUs."""
    plugin.mixed_precision_policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)


def mean_over_processes(accelerator: Accelerator, tensor: Tensor) -> Tensor:
    if accelerator.num_processes == 1:
        return tensor
    return accelerator.reduce(tensor.detach().to(accelerator.device), "mean")  # type: ignore[no-any-return]


def agreed(accelerator: Accelerator, number: int) -> int:
    """What process 0 says, in all of them."""
    if accelerator.num_processes == 1:
        return number
    return int(broadcast(torch.tensor([number], device=accelerator.device)).item())


def from_everyone(accelerator: Accelerator, words: list[T]) -> list[T]:
    """The words of all processes, in the order of processes."""
    return words if accelerator.num_processes == 1 else list(gather_object(words))
