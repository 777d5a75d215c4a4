"""Codes that are not used get a new place.

Nothing here waits for a device: dead codes are counted and replaced by arithmetic on masks.

Legend: V codes, D dimensions, M latents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from tokenizer.quantize.nearest import apart


@dataclass(frozen=True)
class Revival:
    """Every `every` steps, dead codes are replaced.

    dead_by  count       less than `threshold` times the tokens of a code if all were used alike, on average
             unused      no token for `threshold` steps
             perplexity  the least used codes, while the perplexity is below `threshold` times the number of codes
    source   random      latents of the step
             worst       the latents of the step that are farthest from their codes
             split       the most popular codes, moved a little: they share their tokens
             reservoir   latents of many steps, each as likely as any other
    """

    dead_by: Literal["count", "unused", "perplexity"] = "count"
    threshold: float = 0.1
    source: Literal["random", "worst", "split", "reservoir"] = "random"
    every: int = 10
    decay: float = 0.9  # of the average count, a step
    reservoir: int = 4096  # latents; source: reservoir

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold = {self.threshold:g} must be positive")
        if self.dead_by == "unused" and self.threshold < 1:
            raise ValueError(f"threshold = {self.threshold:g} of dead_by: unused is a number of steps, at least 1")
        if self.dead_by != "unused" and self.threshold > 1:
            raise ValueError(f"threshold = {self.threshold:g} of dead_by: {self.dead_by} is a share, at most 1")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay = {self.decay:g} must lie in [0, 1)")
        for name in ("every", "reservoir"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")


class Reviver(nn.Module):
    """How often each code was used lately, and where dead ones go."""

    usage: Tensor  # the average share of tokens
    idle: Tensor  # steps since the last token
    reservoir: Tensor
    seen: Tensor  # latents that the reservoir was drawn from

    def __init__(self, config: Revival, size: int, dim: int):
        super().__init__()
        self.config, self.size = config, size
        self.register_buffer("usage", torch.full((size,), 1 / size))
        self.register_buffer("idle", torch.zeros(size, dtype=torch.int64))
        if config.source == "reservoir":
            self.register_buffer("reservoir", torch.zeros(config.reservoir, dim))
            self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def is_due(self, step: int) -> bool:
        return (step + 1) % self.config.every == 0

    def needs(self, step: int) -> Literal["random", "worst"] | None:
        """Which latents of this step, counted from 0, `update` needs."""
        if self.config.source == "reservoir":
            return "random"
        if self.config.source == "split" or not self.is_due(step):
            return None
        return self.config.source

    def update(self, codes_VD: Tensor, statistics: Mapping[str, Tensor], step: int) -> tuple[Tensor, Tensor]:
        """New places [V, D] and bool [V], which codes go there: none if it is not the step for it."""
        counts_V = statistics["counts"]
        self._count(counts_V)
        generator = torch.Generator().manual_seed(step)
        if self.config.source == "reservoir":
            self._remember(statistics["latents"], generator)
        if not self.is_due(step):
            return codes_VD, torch.zeros_like(counts_V, dtype=torch.bool)
        candidates_MD, available = self._candidates(codes_VD, statistics, generator)
        dead_V = self.dead()
        rank_V = dead_V.cumsum(0) - 1  # the first dead code takes the first candidate
        dead_V &= rank_V < available
        places_VD = candidates_MD[rank_V.clamp(0, len(candidates_MD) - 1)]
        self._share(codes_VD, dead_V, rank_V)
        self.idle.masked_fill_(dead_V, 0)
        return torch.where(dead_V[:, None], apart(places_VD, candidates_MD, generator), codes_VD), dead_V

    def _count(self, counts_V: Tensor) -> None:
        """A step without tokens says nothing: quantizer dropout leaves whole levels out."""
        total = counts_V.sum()
        self.usage.lerp_(torch.where(total > 0, counts_V / total.clamp_min(1), self.usage), 1 - self.config.decay)
        self.idle.copy_(torch.where(counts_V > 0, 0, self.idle + (total > 0)))

    def dead(self) -> Tensor:
        """bool [V]"""
        fair, threshold = 1 / self.size, self.config.threshold
        if self.config.dead_by == "unused":
            return self.idle >= threshold
        if self.config.dead_by == "count":
            return self.usage < threshold * fair
        shares_V = self.usage / self.usage.sum()
        perplexity = (-torch.xlogy(shares_V, shares_V).sum()).exp()
        return (self.usage < 0.1 * fair) & (perplexity < threshold * self.size)

    def _candidates(
        self, codes_VD: Tensor, statistics: Mapping[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """[M, D] in the order in which they are taken, and how many of them may be."""
        if self.config.source == "split":
            popular_V = self.usage.argsort(descending=True, stable=True)
            return codes_VD[popular_V], (self.usage > 1 / self.size).sum()
        if self.config.source == "reservoir":
            filled, rows = self.seen.clamp_max(len(self.reservoir)), self.reservoir
            order_M = torch.rand(len(rows), generator=generator).to(rows.device)
            order_M = order_M.masked_fill(torch.arange(len(rows), device=rows.device) >= filled, 2).argsort(stable=True)
            return rows[order_M], filled
        latents_MD = statistics["latents"]
        if self.config.source == "worst":
            order_M = statistics["errors"].argsort(descending=True, stable=True)
        else:
            order_M = torch.randperm(len(latents_MD), generator=generator).to(latents_MD.device)
        return latents_MD[order_M], torch.tensor(len(latents_MD), device=latents_MD.device)

    def _share(self, codes_VD: Tensor, dead_V: Tensor, rank_V: Tensor) -> None:
        """What a revived code starts with: a fair share of tokens, or half of the popular code's that it splits."""
        start_V = torch.full_like(self.usage, 1 / self.size)
        if self.config.source == "split":
            popular_V = self.usage.argsort(descending=True, stable=True)
            start_V = self.usage[popular_V[rank_V.clamp_min(0)]] / 2
            split_V = torch.zeros_like(dead_V).scatter_(0, popular_V, _first(dead_V.sum(), len(dead_V)))
            self.usage.copy_(torch.where(split_V, self.usage / 2, self.usage))
        self.usage.copy_(torch.where(dead_V, start_V, self.usage))

    def _remember(self, latents_MD: Tensor, generator: torch.Generator) -> None:
        """Reservoir sampling: each latent so far is in the reservoir with the same probability."""
        size, device = len(self.reservoir), latents_MD.device
        number_M = self.seen + torch.arange(len(latents_MD), device=device)
        draw_M = torch.rand(len(latents_MD), generator=generator, dtype=torch.float64).to(device)
        place_M = torch.where(number_M < size, number_M, (draw_M * (number_M + 1)).long())
        last = torch.full((size + 1,), -1, device=device)  # the last latent that goes to each place
        order_M = torch.arange(len(latents_MD), device=device)
        last.scatter_reduce_(0, place_M.clamp_max(size), order_M, "amax")
        taken = last[:size] >= 0
        self.reservoir.copy_(torch.where(taken[:, None], latents_MD[last[:size].clamp_min(0)], self.reservoir))
        self.seen += len(latents_MD)


def _first(count: Tensor, size: int) -> Tensor:
    """bool [size], true for the first `count`."""
    return torch.arange(size, device=count.device) < count
