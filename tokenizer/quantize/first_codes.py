"""Where codes are first: found in the first latents that training sees, while random codes quantize them.

Legend: V codes, D dimensions, M latents of a step.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from tokenizer.quantize.nearest import apart, kmeans

ONLINE_STEPS = 16  # in which all codes are placed


class FirstCodes(nn.Module, ABC):
    """Until `ready`, the codebook is not learned from statistics. A step may have no latents for it."""

    ready: Tensor  # bool
    needs: Literal["random"] = "random"

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.is_ready = False  # as it was before the step

    def look(self) -> None:
        """Waits for a GPU until codes are ready, and from then on no more."""
        self.is_ready = self.is_ready or bool(self.ready)

    def update(self, codes_VD: Tensor, statistics: Mapping[str, Tensor], step: int) -> tuple[Tensor, Tensor]:
        """Codes [V, D], and bool [V], which of them are new."""
        if "latents" not in statistics:
            return codes_VD, torch.zeros(len(codes_VD), dtype=torch.bool, device=codes_VD.device)
        return self.place(codes_VD, statistics, step)

    @abstractmethod
    def place(self, codes_VD: Tensor, statistics: Mapping[str, Tensor], step: int) -> tuple[Tensor, Tensor]:
        """The same of a step that has latents."""


class KMeansCodes(FirstCodes):
    """k-means over a pool of the first latents."""

    pool: Tensor
    filled: Tensor

    def __init__(self, samples: int, dim: int):
        super().__init__()
        self.register_buffer("pool", torch.zeros(samples, dim))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def place(self, codes_VD: Tensor, statistics: Mapping[str, Tensor], step: int) -> tuple[Tensor, Tensor]:
        latents_MD, filled = statistics["latents"], int(self.filled)
        generator = torch.Generator().manual_seed(step)
        order_M = torch.randperm(len(latents_MD), generator=generator).to(latents_MD.device)
        added_MD = latents_MD[order_M[: len(self.pool) - filled]]  # any of them: they come ordered by their values
        self.pool[filled : filled + len(added_MD)] = added_MD
        self.filled += len(added_MD)
        new_V = torch.zeros(len(codes_VD), dtype=torch.bool, device=codes_VD.device)
        if filled + len(added_MD) < len(self.pool):
            return codes_VD, new_V
        self.ready.fill_(True)
        return kmeans(self.pool, len(codes_VD), rounds=10, generator=generator), ~new_V


class OnlineCodes(FirstCodes):
    """In each of the first steps some codes take latents, drawn by their squared distance to the codes so far."""

    placed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("placed", torch.zeros((), dtype=torch.int64))

    def place(self, codes_VD: Tensor, statistics: Mapping[str, Tensor], step: int) -> tuple[Tensor, Tensor]:
        generator, codes_VD = torch.Generator().manual_seed(step), codes_VD.clone()
        noise_M = torch.rand(len(statistics["errors"]), generator=generator).log().to(codes_VD)
        order_M = (noise_M / statistics["errors"].clamp_min(1e-12)).argsort(descending=True, stable=True)
        latents_MD, start = statistics["latents"][order_M], int(self.placed)
        end = min(start + min(-(-len(codes_VD) // ONLINE_STEPS), len(latents_MD)), len(codes_VD))
        codes_VD[start:end] = apart(latents_MD[: end - start], latents_MD, generator)
        self.placed.fill_(end)
        self.ready.fill_(end == len(codes_VD))
        places_V = torch.arange(len(codes_VD), device=codes_VD.device)
        return codes_VD, (places_V >= start) & (places_V < end)
