"""Vector quantization: the nearest of V learned codes.

Published as van den Oord et al., "Neural Discrete Representation Learning" (2017).
"""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.quantize.anneal import Anneal
from tokenizer.quantize.revival import Revival
from tokenizer.quantize.terms import Terms


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
        if 0 < self.first_samples < self.size:
            raise ValueError(f"first_samples = {self.first_samples} must be at least {self.size}, one a code")
        if self.learning == "frozen" and self.revival is not None:
            raise ValueError("revival of codes that are frozen: with learning: frozen set it to null")
        if self.learning == "frozen" and self.first == "online":
            raise ValueError("first = online of codes that are frozen: choose random or kmeans")

    @property
    def encoding(self) -> dict[str, Any]:
        return {"size": self.size, "dim": self.dim, "distance": self.distance, "kind": self.kind}

    def __str__(self) -> str:
        return f"VQ of {self.size:,} codes of {self.dim} numbers"


def check_codebook(size: int, dim: int) -> None:
    if not 2 <= size <= 1 << 20:
        raise ValueError(f"size = {size} must lie in 2 .. {1 << 20:,}")
    if not 1 <= dim <= 4096:
        raise ValueError(f"dim = {dim} must lie in 1 .. 4,096")
