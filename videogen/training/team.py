"""What a stage may do with the players as the loop has wrapped them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from torch import nn

from videogen.training.players import Seat
from videogen.training.processes import Accelerator, from_everyone, mean_over_processes
from videogen.training.stage import Team


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
