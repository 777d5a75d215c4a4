"""The smallest stage that has everything: noise, dropout, an EMA codebook, a later adversary, extra state, freezing.

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
from videogen.training.loop.monitor import MonitoredMetric
from videogen.training.loop.stage import Distributed, Json, LossOutput, Replaced, TrainedModule
from videogen.training.loop.train import train
from videogen.training.loop.trainer import Callbacks, TrainingResult
from videogen.training.records.run_folder import RunFolder
from videogen.training.tokenizer.quantizer_statistics import QuantizerStatistics

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
    nonfinite: tuple[int, ...] = ()  # steps whose first clip is not a number


@dataclass(frozen=True, eq=False)
class FakeBatch:
    keys: tuple[str, ...]
    next_position: Json
    x: Tensor


class Network(nn.Module):
    def __init__(self, noise: bool):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 6), nn.Linear(6, 4)
        self.dropout = nn.Dropout(0.2 if noise else 0.0)
        self.quantizer = EMAQuantizer(codes=3, dim=6)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        latents, statistics = self.quantizer(torch.tanh(self.encoder(x)))
        return self.decoder(self.dropout(latents)), statistics


class EMAQuantizer(nn.Module):
    """The nearest of a few codes, each of which follows the mean of its latents; half of the latent passes through."""

    codebook: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, codes: int, dim: int):
        super().__init__()
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", torch.linspace(-1, 1, codes * dim).reshape(codes, dim))
        self.register_buffer("codebook", self.sums.clone())

    def forward(self, latents: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        latents = latents.float()
        codes = torch.cdist(latents, self.codebook).argmin(1)
        chosen = nn.functional.one_hot(codes, len(self.counts)).float()
        statistics = {"counts": chosen.sum(0), "sums": torch.einsum("nc,nd->cd", chosen, latents).detach().float()}
        return latents + 0.5 * (self.codebook[codes] - latents).detach(), statistics

    def update(self, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.counts.lerp_(statistics["counts"], 0.1)
        self.sums.lerp_(statistics["sums"], 0.1)
        self.codebook.copy_(self.sums / self.counts[:, None])
        return {}


class Averages(nn.Module):
    fake: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fake", torch.zeros(()))


class FakeStage:
    name = "fake"
    monitored = MonitoredMetric("validation_error", "error", lower_is_better=True)

    def __init__(self, config: FakeConfig):
        self.config = config
        adamw = OptimizerConfig(learning_rate=1e-2, warmup=2, schedule="cosine", floor=0.1, weight_decay=0.1)
        muon = replace(adamw, algorithm="muon")
        network = Network(config.noise)
        self.statistics = QuantizerStatistics(network.quantizer)  # type: ignore[arg-type]
        buffers = self.statistics.buffers("quantizer.")
        self.trained_modules = {
            "network": TrainedModule(network, muon, may_freeze=True, averaged_buffers=buffers),
            "critic": TrainedModule(nn.Linear(4, 1), replace(adamw, learning_rate=3e-3, clip=0.5), averaged=False),
        }
        self.extra_state = Averages()

    def batches(self, position: Json, step: int, accumulation: int, rank: int, world_size: int) -> Generator[FakeBatch]:
        sample, share = position.get("sample", 0), self.config.training.batch_size // accumulation
        while True:
            for micro in range(accumulation):
                numbers = range(sample, sample + share)[rank * share // world_size : (rank + 1) * share // world_size]
                sample += share
                x = torch.stack([torch.sin(torch.arange(1.0, 5.0) * (number + 1)) for number in numbers])
                if step in self.config.nonfinite and micro == 0 and rank == world_size - 1:
                    x[0, 0] = float("nan")
                yield FakeBatch(tuple(f"clip{number}" for number in numbers), {"sample": sample}, x)
            step += 1

    def frozen(self, module: str, step: int) -> Callable[[str], bool]:
        frozen = module == "network" and step >= self.config.encoder_until
        return lambda name: frozen and name.startswith(("encoder.", "quantizer."))

    def losses(self, batch: FakeBatch, step: int, distributed: Distributed) -> Iterator[LossOutput]:
        x = batch.x.to(distributed.device)
        y, statistics = distributed.modules["network"](x + 0.1 * torch.randn_like(x) * self.config.noise)
        if step < self.config.encoder_until:
            self.statistics.collect(step, statistics)
        error = (y - x).square().mean()
        total = error
        if step >= self.config.adversary_from:
            with distributed.frozen_module("critic") as critic:
                total = total - 0.1 * critic(y).mean()
        yield LossOutput("network", total, {"error": error.detach()})
        if step >= self.config.adversary_from:
            real, fake = distributed.modules["critic"](torch.cat([x, y.detach()])).chunk(2)
            judging = (
                (1 - real).relu().mean() + (1 + fake).relu().mean() + (real - self.extra_state.fake).square().mean()
            )
            yield LossOutput("critic", judging, {"fake": fake.mean().detach()})

    def after_step(self, step: int, means: Mapping[str, float], distributed: Distributed) -> Replaced:
        self.statistics.apply(step, distributed)
        if "fake" in means:
            self.extra_state.fake.lerp_(torch.tensor(means["fake"]), 0.1)
        return {}

    def alarms(self, step: int, means: Mapping[str, float]) -> Mapping[str, str | None]:
        return {"large": f"error {means['error']:.2f}" if means.get("error", 0) > 0.2 else None}

    def validate(self, distributed: Distributed) -> dict[str, float]:
        torch.rand(3)  # drawing random numbers here must not change the training
        x = torch.linspace(-1, 1, 8).reshape(2, 4)
        return {"validation_error": float((distributed.modules["network"](x)[0] - x).square().mean())}

    def write_samples(self, distributed: Distributed, place: Path) -> None:
        if distributed.rank == 0:
            place.with_suffix(".txt").write_text("a sample")

    def export(self, weights: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Content]:
        return {"network/model.safetensors": weights["network"], "network/config.json": {"noise": self.config.noise}}

    def summary(self) -> dict[str, str]:
        return {"flavour": "fake"}


def run(folder: Path, config: FakeConfig = FakeConfig(), resume: bool = False, **callbacks: Any) -> TrainingResult:
    resolved = json.loads(json.dumps(asdict(config), default=str))
    return train(lambda: FakeStage(config), config.training, folder, resolved, resume, Callbacks(**callbacks))


def lines(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run without what depends on the machine's speed."""
    parsed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "speed"} for line in parsed]


def once(folder: str, *settings: str) -> None:
    """Train to the end, from wherever the run is; `slow=0.1` sleeps this many seconds after each step.

    Notes are written to the file `notes` of the folder.
    """
    torch.set_num_threads(1)
    values = {name: json.loads(value) for name, _, value in (setting.partition("=") for setting in settings)}
    slow = values.pop("slow", 0.0)
    training = {name: values.pop(name) for name in list(values) if hasattr(SMALL, name)}
    config = FakeConfig(training=replace(SMALL, **training), **values)
    notes: list[str] = []
    begun = RunFolder(Path(folder)).has_started
    run(Path(folder), config, begun, on_progress=lambda done, total: time.sleep(slow), on_note=notes.append)
    if notes:
        (Path(folder) / "notes").write_text("\n".join(notes))


def exit_code_of(arguments: list[str]) -> int:
    """The exit code that the command line would have."""
    try:
        once(*arguments)
    except BaseException as error:
        return print_error(error, debug=True)
    return 0


def nursery(spare: str) -> None:
    """Starts a trainer for each line of standard input; prints its process id, and its exit code when it has ended.

    A line begins with the trainer's number of processes; the id is that of the first.
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
            PartialState._reset_state()  # the inherited state has one process
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
