"""Codebooks of two numbers on points of the plane that wander: cells form, starve and are revived, to watch.

Each rival is a real quantizer, trained as in training: `set_step`, `quantize`, a gradient step, `update`.

Legend: V codes, N points.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenizer.quantize import Revival, VQConfig
from tokenizer.quantize.vq import VQ
from videogen.evaluation.codebook.voronoi import PlaneWindow, draw_cells
from videogen.io.contact_sheet import INK, PAPER

TURNS = 0.8  # that the points go around in all
WATCHED = 4096  # points that decide which codes live
LINE, MARGIN, TEXT = 20, 6, 14  # pixels


@dataclass(frozen=True)
class PlaneConfig:
    codes: int = 64
    steps: int = 400
    points: int = 256  # of a step
    every: int = 8  # steps of a frame of the film
    learning_rate: float = 0.02  # Adam, of codes that follow gradients
    decay: float = 0.95  # of moving averages
    side: int = 240  # pixels of a panel
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("codes", 2), ("steps", 1), ("points", 1), ("every", 1), ("side", 16)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        if self.steps < self.every:
            raise ValueError(f"steps = {self.steps} make no frame: one is drawn every {self.every} steps (every)")

    @property
    def rivals(self) -> dict[str, VQConfig]:
        size, decay = self.codes, self.decay
        revival = Revival(dead_by="count", source="random", every=10)
        return {
            "gradient": VQConfig(size, 2, learning="gradient"),
            "moving averages": VQConfig(size, 2, decay=decay),
            "k-means first": VQConfig(size, 2, decay=decay, first="kmeans"),
            "moving averages, revival": VQConfig(size, 2, decay=decay, revival=revival),
        }


class PlaneRival(NamedTuple):
    name: str
    quantizer: VQ
    optimizer: torch.optim.Optimizer | None  # of codes that follow gradients


class PlaneState(NamedTuple):
    """A rival after a step."""

    name: str
    codes_V2: Tensor
    counts_V: Tensor  # of `WATCHED` points of now

    @property
    def alive(self) -> int:
        return int((self.counts_V > 0).sum())


def wandering_points(count: int, time: float, generator: torch.Generator) -> Tensor:
    """Points [N, 2] of a spiral of two arms that turns and circles around the middle; `time` counts turns."""
    along, arm = torch.rand(count, generator=generator), torch.randint(2, (count,), generator=generator)
    angle = 2.4 * math.pi * along + math.pi * arm + 2 * math.pi * time
    radius = 0.15 + 0.75 * along
    center = torch.tensor([math.cos(2 * math.pi * time + 2.4), math.sin(2 * math.pi * time + 2.4)]) * 1.1
    noise = 0.05 * torch.randn(count, 2, generator=generator)
    return center + torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1) + noise


def train_rivals(config: PlaneConfig) -> Iterator[tuple[int, list[PlaneState], Tensor]]:
    """After every `every` steps: the number of steps, the rivals, and points that are drawn now."""
    generator = torch.Generator().manual_seed(config.seed)
    rivals = [make_rival(name, rival, config) for name, rival in config.rivals.items()]
    for step in range(config.steps):
        time = TURNS * step / config.steps
        points_N2 = wandering_points(config.points, time, generator)
        for rival in rivals:
            train_step(rival, points_N2, step)
        if (step + 1) % config.every == 0:
            watched_N2 = wandering_points(WATCHED, time, torch.Generator().manual_seed(step))
            yield step + 1, [state_of(rival, watched_N2) for rival in rivals], watched_N2


def make_rival(name: str, config: VQConfig, plane: PlaneConfig) -> PlaneRival:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plane.seed)  # all begin with the same random codes
        quantizer = VQ(config)
    quantizer.begin_training()
    weights = list(quantizer.parameters())
    return PlaneRival(name, quantizer, torch.optim.Adam(weights, plane.learning_rate) if weights else None)


def train_step(rival: PlaneRival, points_N2: Tensor, step: int) -> None:
    rival.quantizer.set_step(step)
    quantized = rival.quantizer.quantize(points_N2)
    if rival.optimizer is not None:
        rival.optimizer.zero_grad()
        torch.stack(list(quantized.losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        rival.optimizer.step()
    rival.quantizer.update({**quantized.statistics, **quantized.samples})


@torch.no_grad()
def state_of(rival: PlaneRival, points_N2: Tensor) -> PlaneState:
    codes_N = rival.quantizer.to_codes(rival.quantizer.project(points_N2))[:, 0]
    counts_V = torch.bincount(codes_N, minlength=rival.quantizer.size)
    return PlaneState(rival.name, rival.quantizer.all_codes.clone(), counts_V)


def draw_frame(
    step: int, states: list[PlaneState], points_N2: Tensor, side: int, window: float = 2.4
) -> NDArray[np.uint8]:
    """A panel for each rival, two in a row, with its name and its live codes: uint8 [H, W, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    view, font = PlaneWindow(-window, -window, 2 * window, side), ImageFont.load_default(size=TEXT)
    cell = side + MARGIN, side + 2 * LINE + MARGIN
    rows = math.ceil(len(states) / 2)
    image = Image.new("RGB", (2 * cell[0] + MARGIN, rows * cell[1] + LINE + MARGIN), PAPER)
    pen = ImageDraw.Draw(image)
    for number, state in enumerate(states):
        x, y = MARGIN + number % 2 * cell[0], MARGIN + number // 2 * cell[1]
        image.paste(Image.fromarray(draw_cells(state.codes_V2, state.counts_V, points_N2, view)), (x, y))
        text = f"{state.name}\n{state.alive} of {len(state.codes_V2)} codes live"
        pen.multiline_text((x, y + side), text, INK, font)
    pen.text((MARGIN, rows * cell[1] + MARGIN // 2), f"step {step}", INK, font)
    return np.asarray(image)
