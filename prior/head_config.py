"""The settings of heads, one class a kind; `likelihood` says whether a head knows the probability of a token."""

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias


@dataclass(frozen=True)
class ChainConfig:
    """One code after the other; a gated layer reads the sum of the embeddings of the codes before it."""

    kind: Literal["chain"] = "chain"
    likelihood: ClassVar[bool] = True
    KIND_MAY_BE_MISSING: ClassVar[bool] = True


@dataclass(frozen=True)
class FlatConfig:
    """One softmax over all combinations of codes."""

    kind: Literal["flat"] = "flat"
    likelihood: ClassVar[bool] = True


@dataclass(frozen=True)
class DepthConfig:
    """One code after the other; a small causal transformer reads the codes before it."""

    kind: Literal["depth"] = "depth"
    likelihood: ClassVar[bool] = True
    layers: int = 2
    width: int | None = None  # null: that of the prior
    heads: int = 4

    def __post_init__(self) -> None:
        for name in ("layers", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.width is not None and (self.width < 1 or self.width % (2 * self.heads)):
            raise ValueError(f"width = {self.width} must be a multiple of 2 x heads = {2 * self.heads}")


@dataclass(frozen=True)
class FlowConfig:
    """Continuous tokens: a small network turns noise into a token, in a few steps."""

    kind: Literal["flow"] = "flow"
    likelihood: ClassVar[bool] = False
    layers: int = 3
    width: int | None = None  # null: that of the prior
    steps: int = 16  # of sampling; each runs the small network once
    repeats: int = 4  # noise levels that a token is trained at in each step: cheap, as the prior runs once

    def __post_init__(self) -> None:
        for name in ("layers", "width", "steps", "repeats"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")


HeadConfig: TypeAlias = ChainConfig | FlatConfig | DepthConfig | FlowConfig  # by `kind`
