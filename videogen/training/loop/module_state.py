"""A network, its optimizer and the moving average of its weights, wrapped for however many processes there are."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method

from videogen.errors import UsageError
from videogen.training.loop.config import OptimizerConfig
from videogen.training.loop.distributed import Accelerator, DistributedType, from_everyone, mean_over_processes
from videogen.training.loop.muon import Muon
from videogen.training.loop.schedule import averaging_decay, rate
from videogen.training.loop.stage import Player, Team

MOST_SHAPES = 64  # of clips and images, in training and validation, with and without a resting part


class Seat:
    """One player at work. `module` is what is called; parameters go by their names in `plain`, the network itself."""

    def __init__(self, player: Player, module: nn.Module, optimizer: torch.optim.Optimizer, accelerator: Accelerator):
        self.config, self.begins = player.optimizer, player.begins
        self.module, self.optimizer = module, optimizer
        self.plain: nn.Module = accelerator.unwrap_model(module)
        self.parameters = dict(self.plain.named_parameters())
        self.average: dict[str, Tensor] | None = None
        if player.averaged:
            self.average = {name: p.detach().clone() for name, p in self.parameters.items()}

    def rest(self, resting: Callable[[str], bool]) -> None:
        """Parameters that rest take on their average, for that is what is exported, and have no gradient."""
        for name, parameter in self.parameters.items():
            rests = resting(name)
            if rests and parameter.requires_grad and self.average is not None:
                local(parameter).copy_(local(self.average[name]))
            parameter.requires_grad_(not rests)

    def clip(self) -> Tensor:
        """Shorten the gradient to the configured norm; returns the norm it had."""
        gradients = [p for p in self.parameters.values() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(gradients, self.config.clip or float("inf"))
        return whole(norm)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of this step, counted from 0; before the player's first one it is 0."""
        config, own = self.config, step - self.begins
        if own < 0:
            return 0.0
        return config.learning_rate * rate(config.schedule, own, steps - self.begins, config.warmup, config.floor)

    def step(self, step: int, steps: int, decay: float) -> None:
        """The optimizer's step at this step's rate, and the average after it."""
        now = self.rate(step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = now
        self.optimizer.step()
        self.follow(averaging_decay(decay, step))

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        if self.average is None:
            return
        moving = [name for name, p in self.parameters.items() if p.requires_grad]
        if moving:
            averages = [local(self.average[name]) for name in moving]
            torch._foreach_lerp_(averages, [local(self.parameters[name]) for name in moving], 1 - decay)

    def forget_gradients(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights are their average inside the block, and bit for bit what they were after it."""
        if self.average is None:
            yield
            return
        kept = {name: local(p).detach().clone() for name, p in self.parameters.items()}
        fill(self.parameters, self.average)
        try:
            yield
        finally:
            fill(self.parameters, kept)


def seat(player: Player, accelerator: Accelerator, compiled: bool) -> Seat:
    """Put a player's network on its device and make its optimizer; wrapped as accelerate's own settings say."""
    player.module.to(accelerator.device)
    if compiled:
        compile_in_place(player.module)
    if player.optimizer.algorithm == "muon" and accelerator.distributed_type == DistributedType.FSDP:
        raise UsageError("algorithm is muon, which needs whole matrices, and FSDP cuts them up; use adamw, or DDP")
    cuda = accelerator.device.type == "cuda"
    bf16 = cuda or accelerator.mixed_precision == "bf16"
    optimizer = make_optimizer(player.module, player.optimizer, fused=cuda, bf16=bf16)
    module, prepared = accelerator.prepare(player.module, optimizer)
    gather_for_methods(module)
    return Seat(player, module, prepared, accelerator)


def gather_for_methods(module: nn.Module) -> None:
    """Where FSDP cuts up a part that is not called but asked by methods, these put its weights together first."""
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # which nobody changes in place
    for part in module.modules():
        if isinstance(part, FSDPModule):
            for name in getattr(part, "called_by", ()):
                register_fsdp_forward_method(part, name)


def compile_in_place(module: nn.Module) -> None:
    """The names of parameters stay as they are. Each shape is compiled for itself: dynamic ones are slower, and round
    otherwise, and which shapes are made dynamic depends on where a run was interrupted."""
    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, MOST_SHAPES)
    module.compile(dynamic=False)


def make_optimizer(module: nn.Module, config: OptimizerConfig, fused: bool, bf16: bool) -> torch.optim.Optimizer:
    parameters = list(module.parameters())
    if config.algorithm == "muon":
        tables = [p for part in module.modules() if isinstance(part, nn.Embedding) for p in part.parameters()]
        return Muon(parameters, config.learning_rate, config.momentum, config.betas, config.weight_decay, tables, bf16)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused or None)


def local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor (the same memory), or the tensor itself."""
    part: Tensor = tensor.detach()
    return part.to_local() if hasattr(part, "to_local") else part


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor put together; every process has to call this."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


@torch.no_grad()
def fill(targets: dict[str, Tensor] | dict[str, nn.Parameter], values: dict[str, Tensor]) -> None:
    for name, target in targets.items():
        local(target).copy_(local(values[name]))


def make_team(accelerator: Accelerator, seats: Mapping[str, Seat]) -> Team:
    return Team(
        modules={name: seat.module for name, seat in seats.items()},
        bystander=_bystander(accelerator, seats),
        mean=lambda tensor: mean_over_processes(accelerator, tensor),
        everyone=lambda value: from_everyone(accelerator, [value]),
        device=accelerator.device,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        sharded=accelerator.is_fsdp2,
    )


def _bystander(
    accelerator: Accelerator, seats: Mapping[str, Seat]
) -> Callable[[str], AbstractContextManager[nn.Module]]:
    @contextmanager
    def pass_through(name: str) -> Iterator[nn.Module]:
        trained = [p for p in seats[name].parameters.values() if p.requires_grad]
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            with accelerator.no_sync(seats[name].module):
                yield seats[name].module
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)

    return pass_through
