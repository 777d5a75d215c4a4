"""Vector quantization: the nearest of V learned codes.

Published as van den Oord et al., "Neural Discrete Representation Learning" (2017).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tokenizer.quantize.anneal import Anneal
from tokenizer.quantize.codebook import LearnedCodebook, Learning
from tokenizer.quantize.first_codes import FirstCodes
from tokenizer.quantize.revival import Revival, Reviver
from tokenizer.quantize.terms import Terms, check_terms_of_codes, term_losses


@dataclass(frozen=True)
class VQConfig:
    """`size` codes of `dim` numbers.

    learning   gradient  codes follow the gradient of their squared distance to their latents
               ema       codes are moving averages of their latents
               frozen    codes stay as they were first
    first      random    random codes of the deviation that latents are trained towards
               kmeans    k-means over the first `first_samples` latents, which random codes quantize in the meantime
               online    a latent at a time: codes that have none yet take latents of each step
    """

    size: int
    dim: int
    distance: Literal["euclidean", "cosine"] = "euclidean"
    learning: Literal["gradient", "ema", "frozen"] = "ema"
    gradient: Literal["straight_through", "rotation"] = "straight_through"
    commitment_weight: float = 0.25  # of the squared distance of latents to their codes
    commitment_schedule: Anneal | None = None  # instead of a weight that stays
    codebook_weight: float = 1.0  # of the squared distance of codes to their latents; learning: gradient
    decay: float = 0.99  # of the moving averages, a step
    smoothing: float = 1e-5  # added to each code's count (Laplace), so that rare codes do not run away
    first: Literal["random", "kmeans", "online"] = "random"
    first_samples: int = 0  # latents for k-means; 0: four a code
    revival: Revival | None = None  # of codes that are not used
    terms: Terms | None = None
    kind: Literal["vq"] = "vq"

    def __post_init__(self) -> None:
        check_codebook(self.size, self.dim)
        for name in ("commitment_weight", "codebook_weight", "smoothing", "first_samples"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name):g} must not be negative")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay = {self.decay:g} must lie in [0, 1)")
        check_first_samples(self.first_samples, self.size)
        if self.learning == "frozen" and self.revival is not None:
            raise ValueError("revival of codes that are frozen: with learning: frozen set it to null")
        if self.learning == "frozen" and self.first == "online":
            raise ValueError("first = online of codes that are frozen: choose random or kmeans")
        if self.learning != "gradient":
            check_terms_of_codes(self.terms, self.learning)

    @property
    def encoding(self) -> dict[str, Any]:
        return {"size": self.size, "dim": self.dim, "distance": self.distance, "kind": self.kind}

    def __str__(self) -> str:
        return f"VQ of {self.size:,} codes of {self.dim} numbers"


class VQ(LearnedCodebook):
    commitment: Tensor

    def __init__(self, config: VQConfig):
        by_gradient, cosine = config.learning == "gradient", config.distance == "cosine"
        first = config.first, config.first_samples
        super().__init__(config.size, config.dim, by_gradient, cosine, *first, config.revival)
        self.config = config
        weight = config.commitment_weight
        self.register_buffer("commitment", torch.tensor(float(weight)), persistent=False)  # it follows from the step
        self.set_step(0)

    def make_learning(self, codebook_VD: Tensor) -> Learning:
        learning = super().make_learning(codebook_VD)
        if self.config.learning != "ema":
            return learning
        return MovingAverages(learning.first, learning.reviver, codebook_VD)

    def set_step(self, step: int) -> None:
        super().set_step(step)
        if self.config.commitment_schedule is not None:
            self.commitment.fill_(self.config.commitment_schedule.at(step))

    def losses(self, projected_ND: Tensor, quantized_ND: Tensor, codes_NK: Tensor) -> dict[str, Tensor]:
        config = self.config
        losses = {"commitment": self.commitment * F.mse_loss(projected_ND, quantized_ND.detach())}
        if config.learning == "gradient":
            losses["codebook"] = config.codebook_weight * F.mse_loss(quantized_ND, projected_ND.detach())
        return losses | term_losses(config.terms, projected_ND, self.all_codes, codes_NK)

    def pass_gradient(self, projected_ND: Tensor, quantized_ND: Tensor) -> Tensor:
        if self.config.gradient == "rotation":
            return rotated(projected_ND, quantized_ND)
        return super().pass_gradient(projected_ND, quantized_ND)

    def moved(self, codes_VD: Tensor, statistics: Mapping[str, Tensor]) -> Tensor:
        learning, decay = self.learning, self.config.decay
        if not isinstance(learning, MovingAverages):
            return codes_VD
        learning.counts.lerp_(statistics["counts"], 1 - decay)
        learning.sums.lerp_(statistics["sums"], 1 - decay)
        means_VD = self.in_space(learning.sums / self._smoothed(learning.counts)[:, None])
        return torch.where(statistics["counts"][:, None] > 0, means_VD, codes_VD)  # smoothing pulls unused codes to 0

    def _smoothed(self, counts_V: Tensor) -> Tensor:
        """Counts with the same sum, each of which is above 0."""
        smoothing, total = self.config.smoothing, counts_V.sum()
        return (counts_V + smoothing) / (total + len(counts_V) * smoothing) * total

    def replaced(self, new_V: Tensor) -> None:
        if isinstance(self.learning, MovingAverages):
            counts_V = self.learning.counts
            counts_V.copy_(torch.where(new_V, counts_V.mean(), counts_V))
            sums_VD = self.codebook * counts_V[:, None]
            self.learning.sums.copy_(torch.where(new_V[:, None], sums_VD, self.learning.sums))


class MovingAverages(Learning):
    """Moving averages of how many latents each code has, and of their sum."""

    needs_counts = needs_sums = True
    counts: Tensor
    sums: Tensor

    def __init__(self, first: FirstCodes | None, reviver: Reviver | None, codebook_VD: Tensor):
        super().__init__(first, reviver)
        self.register_buffer("counts", torch.ones(len(codebook_VD)))
        self.register_buffer("sums", codebook_VD.detach().clone())


def rotated(projected_ND: Tensor, quantized_ND: Tensor) -> Tensor:
    """The codes, as the latents turned and scaled onto them: the gradient is turned back and scaled alike.

    The rotation trick of Fifty et al., "Restructuring Vector Quantization with the Rotation Trick" (2024). A latent
    of 0 has no direction to be turned from; its gradient goes straight through.
    """
    latents_ND, codes_ND = projected_ND.detach(), quantized_ND.detach()
    from_ND, to_ND = F.normalize(latents_ND, dim=-1), F.normalize(codes_ND, dim=-1)
    middle_ND = F.normalize(from_ND + to_ND, dim=-1)
    scale_N1: Tensor = codes_ND.norm(dim=-1, keepdim=True) / latents_ND.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    reflected_ND = projected_ND - 2 * (projected_ND * middle_ND).sum(-1, keepdim=True) * middle_ND
    turned_ND = reflected_ND + 2 * (projected_ND * from_ND).sum(-1, keepdim=True) * to_ND
    moved_ND = torch.where(latents_ND.any(-1, keepdim=True), scale_N1 * turned_ND, projected_ND)
    return moved_ND + (codes_ND - moved_ND).detach()  # the codes, where rounding would not reach them


def check_codebook(size: int, dim: int) -> None:
    if not 2 <= size <= 1 << 20:
        raise ValueError(f"size = {size} must lie in 2 .. {1 << 20:,}")
    if not 1 <= dim <= 4096:
        raise ValueError(f"dim = {dim} must lie in 1 .. 4,096")


def check_first_samples(samples: int, size: int) -> None:
    most = max(1 << 22, 4 * size)
    if samples and not size <= samples <= most:
        raise ValueError(f"first_samples = {samples} must lie in {size} .. {most:,}: at least one a code")
