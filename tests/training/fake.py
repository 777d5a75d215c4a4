"""The smallest stage that has everything: noise, dropout, an adversary from a later step on, a memory, a frozen part.

`python -m tests.training.fake once RUN KEY=VALUE...` trains it; programs.py starts such processes.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState  # type: ignore[import-untyped]
from torch import Tensor, nn

from videogen.checkpoint import Content
from videogen.cli.exit_codes import print_error
from videogen.training.loop.config import OptimizerConfig, TrainingConfig
from videogen.training.loop.monitor import Judged
from videogen.training.loop.stage import Json, Player, Team, Turn
from videogen.training.loop.train import train
from videogen.training.loop.trainer import Listener, Outcome
from videogen.training.records.run_folder import RunFolder

SMALL = TrainingConfig(
    steps=12, batch_size=8, accumulation=2, seed=3, average_decay=0.9, log_every=2, validate_every=4, sample_every=6,
    checkpoint_every=3, keep=2,
)  # fmt: skip


@dataclass(frozen=True)
class FakeConfig:
    training: TrainingConfig = SMALL
    noise: bool = True
    adversary_from: int = 3
    encoder_until: int = 8
    spoilt: tuple[int, ...] = ()  # steps whose first clip is not a number


@dataclass(frozen=True, eq=False)
class FakeBatch:
    keys: tuple[str, ...]
    next: Json
    x: Tensor


class Network(nn.Module):
    def __init__(self, noise: bool):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 6), nn.Linear(6, 4)
        self.dropout = nn.Dropout(0.2 if noise else 0.0)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.dropout(torch.tanh(self.encoder(x))))  # type: ignore[no-any-return]


class Averages(nn.Module):
    fake: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fake", torch.zeros(()))


class FakeStage:
    name = "fake"
    judged = Judged("validation_error", "error", lower_is_better=True)

    def __init__(self, config: FakeConfig):
        self.config = config
        player = OptimizerConfig(learning_rate=1e-2, warmup=2, schedule="cosine", floor=0.1, weight_decay=0.1)
        muon = replace(player, algorithm="muon")
        self.players = {
            "network": Player(Network(config.noise), muon, rests=True),
            "critic": Player(nn.Linear(4, 1), replace(player, learning_rate=3e-3, clip=0.5), averaged=False),
        }
        self.memory = Averages()

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world: int) -> Generator[FakeBatch]:
        sample, share = position.get("sample", 0), self.config.training.batch_size // accumulation
        while True:
            for micro in range(accumulation):
                numbers = range(sample, sample + share)[rank * share // world : (rank + 1) * share // world]
                sample += share
                x = torch.stack([torch.sin(torch.arange(1.0, 5.0) * (number + 1)) for number in numbers])
                if step in self.config.spoilt and micro == 0 and rank == world - 1:
                    x[0, 0] = float("nan")
                yield FakeBatch(tuple(f"clip{number}" for number in numbers), {"sample": sample}, x)
            step += 1

    def resting(self, player: str, step: int) -> Callable[[str], bool]:
        frozen = player == "network" and step >= self.config.encoder_until
        return lambda name: frozen and name.startswith("encoder.")

    def turns(self, batch: FakeBatch, step: int, team: Team) -> Iterator[Turn]:
        x = batch.x.to(team.device)
        y = team.modules["network"](x + 0.1 * torch.randn_like(x) * self.config.noise)
        error = (y - x).square().mean()
        total = error
        if step >= self.config.adversary_from:
            with team.bystander("critic") as critic:
                total = total - 0.1 * critic(y).mean()
        yield Turn("network", total, {"error": error.detach()})
        if step >= self.config.adversary_from:
            real, fake = team.modules["critic"](torch.cat([x, y.detach()])).chunk(2)
            judging = (1 - real).relu().mean() + (1 + fake).relu().mean() + (real - self.memory.fake).square().mean()
            yield Turn("critic", judging, {"fake": fake.mean().detach()})

    def applied(self, step: int, means: Mapping[str, float]) -> None:
        if "fake" in means:
            self.memory.fake.lerp_(torch.tensor(means["fake"]), 0.1)

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        return {"large": f"error {means['error']:.2f}" if means.get("error", 0) > 0.2 else None}

    def validate(self, team: Team) -> dict[str, float]:
        torch.rand(3)  # whoever draws here must not change the training
        x = torch.linspace(-1, 1, 8).reshape(2, 4)
        return {"validation_error": float((team.modules["network"](x) - x).square().mean())}

    def draw_samples(self, team: Team, place: Path) -> None:
        if team.rank == 0:
            place.with_suffix(".txt").write_text("a sample")

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        return {"network/model.safetensors": weights["network"], "network/config.json": {"noise": self.config.noise}}

    def figures(self) -> dict[str, str]:
        return {"flavour": "fake"}


def run(folder: Path, config: FakeConfig = FakeConfig(), resume: bool = False, **listener: Any) -> Outcome:
    resolved = json.loads(json.dumps(asdict(config)))
    return train(lambda: FakeStage(config), config.training, folder, resolved, resume, Listener(**listener))


def lines(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run without what depends on the machine's speed."""
    parsed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "speed"} for line in parsed]


def once(folder: str, *settings: str) -> None:
    """Train until the end, from wherever the run is; `slow=0.1` rests for so many seconds after each step.

    Remarks are written into the folder too, as `notes`.
    """
    torch.set_num_threads(1)
    values = {name: json.loads(value) for name, _, value in (setting.partition("=") for setting in settings)}
    slow = values.pop("slow", 0.0)
    training = {name: values.pop(name) for name in list(values) if hasattr(SMALL, name)}
    config = FakeConfig(training=replace(SMALL, **training), **values)
    notes: list[str] = []
    begun = RunFolder(Path(folder)).begun
    run(Path(folder), config, begun, on_progress=lambda done, total: time.sleep(slow), on_note=notes.append)
    if notes:
        (Path(folder) / "notes").write_text("\n".join(notes))


def exit_code_of(arguments: list[str]) -> int:
    """As the command line would end."""
    try:
        once(*arguments)
    except BaseException as error:
        return print_error(error, debug=True)
    return 0


def nursery(spare: str) -> None:
    """A trainer for each line of standard input: its number, and when it has ended its exit code, are printed.

    A line begins with how many processes the trainer has; the number is that of the first.
    """
    once(spare)
    for line in sys.stdin:
        count, *arguments = line.rstrip("\n").split("\t")
        port = free_port()
        children = [forked(arguments, rank, int(count), port) for rank in range(int(count))]
        print(children[0], flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(next((code for code in codes if code), 0), flush=True)


def forked(arguments: list[str], rank: int, world: int, port: int) -> int:
    child = os.fork()
    if child == 0:
        if world > 1:
            PartialState._reset_state()  # what was inherited knows one process
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
            os.environ.update({name: str(number) for name, number in place.items()}, MASTER_ADDR="127.0.0.1")
        os._exit(exit_code_of(arguments))
    return child


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    {"once": once, "nursery": nursery}[sys.argv[1]](*sys.argv[2:])
