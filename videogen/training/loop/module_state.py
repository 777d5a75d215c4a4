"""A trained module at work: its wrapped network, its optimizer and the moving average of its weights."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from tokenizer.quantize.codebook import LearnedCodebook
from videogen.errors import UsageError
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.distributed import Accelerator, DistributedType, all_reduce_mean, gather_lists
from videogen.training.loop.muon import MOMENTUM, Muon
from videogen.training.loop.schedule import lr_factor
from videogen.training.loop.stage import Distributed, TrainedModule

MAX_COMPILED_SHAPES = 64  # clips and images, training and validation, with and without a frozen part


class ModuleState:
    """One trained module. `module` is the wrapped network that is called; `unwrapped` has the names of parameters.

    `tensors` are what the average follows: all parameters, and the buffers that `averaged_buffers` names.
    """

    def __init__(
        self, trained: TrainedModule, module: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator
    ):
        self.config, self.first_step = trained.optimizer, trained.first_step
        self.module, self.optimizer = module, optimizer
        self.unwrapped: nn.Module = accelerator.unwrap_model(module)
        self.parameters = dict(self.unwrapped.named_parameters())
        buffers = dict(self.unwrapped.named_buffers())
        self.tensors: dict[str, Tensor] = {
            **self.parameters,
            **{name: buffers[name] for name in trained.averaged_buffers},
        }
        self.moving = set(self.tensors)
        self.average: dict[str, Tensor] | None = None
        if trained.averaged:
            self.average = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}

    def freeze(self, frozen: Callable[[str], bool]) -> None:
        """Set frozen tensors to their average, which is what is exported, and stop their gradients."""
        for name, tensor in self.tensors.items():
            if frozen(name) and name in self.moving and self.average is not None:
                local_shard(tensor).copy_(local_shard(self.average[name]))
        self.moving = {name for name in self.tensors if not frozen(name)}
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(name in self.moving)

    def clip_gradients(self) -> Tensor:
        """Clip the gradients to the configured norm; returns the norm before."""
        gradients = [p for p in self.parameters.values() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(gradients, self.config.clip or float("inf"))
        return full_tensor(norm)

    def learning_rate(self, step: int, steps: int) -> float:
        """The learning rate of this step, counted from 0; it is 0 before the module's first step."""
        config, own = self.config, step - self.first_step
        if own < 0:
            return 0.0
        factor = lr_factor(config.schedule, own, steps - self.first_step, config.warmup, config.floor)
        return config.learning_rate * factor

    def step(self, step: int, steps: int) -> None:
        """The optimizer step, at the learning rate of this step."""
        rate = self.learning_rate(step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        moving = [name for name in self.tensors if name in self.moving]
        if self.average is not None and moving:
            averages = [local_shard(self.average[name]) for name in moving]
            torch._foreach_lerp_(averages, [local_shard(self.tensors[name]) for name in moving], 1 - decay)

    @torch.no_grad()
    def jump(self, rows: Mapping[str, Tensor]) -> None:
        """Set these rows of averages to their present values."""
        for name, replaced in rows.items():
            if self.average is not None and name in self.average:
                chosen = replaced.view(-1, *[1] * (self.tensors[name].ndim - 1))
                self.average[name].copy_(torch.where(chosen, self.tensors[name], self.average[name]))

    def zero_grad(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    @contextmanager
    def use_average(self) -> Iterator[None]:
        """Inside the block the weights are their average; after it they have their own bits again."""
        if self.average is None:
            yield
            return
        kept = {name: local_shard(tensor).detach().clone() for name, tensor in self.tensors.items()}
        copy_weights(self.tensors, self.average)
        try:
            yield
        finally:
            copy_weights(self.tensors, kept)


def prepare_module(trained: TrainedModule, accelerator: Accelerator, compiled: bool) -> ModuleState:
    """Move a network to its device, make its optimizer, and wrap it as accelerate's settings say."""
    trained.module.to(accelerator.device)
    if compiled:
        compile_in_place(trained.module)
    if trained.optimizer.algorithm == "muon" and accelerator.distributed_type == DistributedType.FSDP:
        raise UsageError("algorithm is muon, which needs whole matrices, and FSDP shards them; use adamw, or DDP")
    cuda = accelerator.device.type == "cuda"
    bf16 = cuda or accelerator.mixed_precision == "bf16"
    optimizer = make_optimizer(trained.module, trained.optimizer, fused=cuda, bf16=bf16)
    module, prepared = accelerator.prepare(trained.module, optimizer)
    register_fsdp_methods(module)
    return ModuleState(trained, module, prepared, accelerator)


def register_fsdp_methods(module: nn.Module) -> None:
    """Let FSDP gather weights for parts that are used by methods other than forward."""
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # nothing changes it in place
    for part in module.modules():
        if isinstance(part, FSDPModule):
            for name in getattr(part, "called_by", ()):
                register_fsdp_forward_method(part, name)


def compile_in_place(module: nn.Module) -> None:
    """Compile without changing the names of parameters, each shape for itself.

    Dynamic shapes are slower, round differently, and depend on where a run was interrupted.
    """
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, MAX_COMPILED_SHAPES)
    module.compile(dynamic=False)


def make_optimizer(module: nn.Module, config: OptimizerConfig, fused: bool, bf16: bool) -> torch.optim.Optimizer:
    parameters = list(module.parameters())
    if config.algorithm == "muon":
        tabular = (part for part in module.modules() if isinstance(part, nn.Embedding | LearnedCodebook))
        tables = [p for part in tabular for p in part.parameters(recurse=False)]  # each row learns on its own
        return Muon(parameters, config.learning_rate, MOMENTUM, config.betas, config.weight_decay, tables, bf16)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused or None)


def make_distributed(accelerator: Accelerator, states: Mapping[str, ModuleState]) -> Distributed:
    return Distributed(
        modules={name: state.module for name, state in states.items()},
        frozen_module=_frozen_module(accelerator, states),
        mean=lambda tensor: all_reduce_mean(accelerator, tensor),
        gather=lambda value: gather_lists(accelerator, [value]),
        device=accelerator.device,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        sharded=accelerator.is_fsdp2,
    )


def _frozen_module(
    accelerator: Accelerator, states: Mapping[str, ModuleState]
) -> Callable[[str], AbstractContextManager[nn.Module]]:
    @contextmanager
    def frozen(name: str) -> Iterator[nn.Module]:
        trained = [p for p in states[name].parameters.values() if p.requires_grad]
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            with accelerator.no_sync(states[name].module):
                yield states[name].module
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)

    return frozen


def local_shard(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor (the same memory), or the tensor itself."""
    part: Tensor = tensor.detach()
    return part.to_local() if hasattr(part, "to_local") else part


def full_tensor(tensor: Tensor) -> Tensor:
    """A sharded tensor as a whole; every process has to call this."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


@torch.no_grad()
def copy_weights(targets: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, target in targets.items():
        local_shard(target).copy_(local_shard(values[name]))
