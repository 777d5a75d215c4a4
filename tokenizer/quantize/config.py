"""The settings of every family, and of the combinators over any of them.

A combinator's own module has the network; its settings are here, because they hold those of any other family.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tokenizer.quantize.bsq import BSQConfig
from tokenizer.quantize.continuous import ContinuousConfig
from tokenizer.quantize.fsq import FSQConfig
from tokenizer.quantize.ibq import IBQConfig
from tokenizer.quantize.lfq import LFQConfig
from tokenizer.quantize.rounded_fsq import RoundedFSQConfig
from tokenizer.quantize.soft import SoftVQConfig
from tokenizer.quantize.vq import VQConfig


@dataclass(frozen=True)
class ResidualConfig:
    """Each level quantizes what the levels before it have left over; a latent is the sum of its codes.

    Codes that are learned find how large they have to be. Others do not, nor do shared ones: for these, `scale` says
    by which factor each level is smaller than the one before, such as 0.5 for signs and 1 / L for L levels of FSQ.
    """

    quantizer: "CodesConfig"
    depth: int
    shared: bool = False  # one codebook for all levels
    scale: float = 1.0  # of each level's codes, relative to those of the level before
    dropout: float = 0.0  # the share of batches that use a random number of levels, so that any prefix decodes
    kind: Literal["residual"] = "residual"

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ValueError(f"depth = {self.depth} must be at least 1")
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale = {self.scale:g} must be above 0 and at most 1")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout = {self.dropout:g} is a share, from 0 to 1")

    @property
    def dim(self) -> int:
        return self.quantizer.dim

    @property
    def encoding(self) -> dict[str, Any]:
        own = {"depth": self.depth, "shared": self.shared, "scale": self.scale, "kind": self.kind}
        return {"quantizer": self.quantizer.encoding, **own}

    def __str__(self) -> str:
        return f"{self.depth} levels of {self.quantizer}"


@dataclass(frozen=True)
class ProductConfig:
    """Groups of neighboring channels, each quantized on its own."""

    quantizer: "CodesConfig"  # of one group
    dim: int
    groups: int
    shared: bool = False  # one codebook for all groups
    kind: Literal["product"] = "product"

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ValueError(f"groups = {self.groups} must be at least 1")
        if self.dim % self.groups:
            raise ValueError(f"groups = {self.groups} do not divide the {self.dim} channels (dim)")
        if self.quantizer.dim != self.dim // self.groups:
            have = f"a quantizer of {self.quantizer.dim} channels"
            raise ValueError(f"quantizer is {have}; {self.groups} groups of {self.dim} have {self.dim // self.groups}")

    @property
    def encoding(self) -> dict[str, Any]:
        own = {"dim": self.dim, "groups": self.groups, "shared": self.shared, "kind": self.kind}
        return {"quantizer": self.quantizer.encoding, **own}

    def __str__(self) -> str:
        return f"{self.groups} groups of {self.quantizer}"


@dataclass(frozen=True)
class MultiHeadConfig:
    """Each head quantizes a learned linear view of the whole latent.

    combine  concatenate  the heads' quantized views, side by side, are mapped back to `dim` channels
             sum          they are added, then mapped: fewer weights, and all heads speak of the same channels
    """

    quantizer: "CodesConfig"  # of one head
    dim: int
    heads: int
    combine: Literal["concatenate", "sum"] = "concatenate"
    redundancy_weight: float = 0.0  # of the squared correlations of different heads' views
    kind: Literal["multi_head"] = "multi_head"

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim = {self.dim} must be at least 1")
        if self.heads < 1:
            raise ValueError(f"heads = {self.heads} must be at least 1")
        if self.redundancy_weight < 0:
            raise ValueError(f"redundancy_weight = {self.redundancy_weight:g} must not be negative")
        if self.redundancy_weight and self.heads == 1:
            raise ValueError(f"redundancy_weight = {self.redundancy_weight:g} of one head: set it to 0")

    @property
    def encoding(self) -> dict[str, Any]:
        own = {"dim": self.dim, "heads": self.heads, "combine": self.combine, "kind": self.kind}
        return {"quantizer": self.quantizer.encoding, **own}

    def __str__(self) -> str:
        return f"{self.heads} heads of {self.quantizer}"


@dataclass(frozen=True)
class DualConfig:
    """A semantic and a pixel codebook under one index: the code whose weighted distances to both parts are smallest.

    The first `semantic_dim` of the quantizer's channels are the semantic part, the others the pixel part.
    """

    quantizer: VQConfig  # of both parts together
    semantic_dim: int
    semantic_weight: float = 1.0  # of the semantic part's squared distance; that of the pixel part has 1
    kind: Literal["dual"] = "dual"

    def __post_init__(self) -> None:
        if not 1 <= self.semantic_dim < self.quantizer.dim:
            raise ValueError(f"semantic_dim = {self.semantic_dim} must lie in 1 .. {self.quantizer.dim - 1}")
        if self.semantic_weight <= 0:
            raise ValueError(f"semantic_weight = {self.semantic_weight:g} must be positive")
        if self.quantizer.distance != "euclidean":
            raise ValueError("quantizer has distance: cosine; two parts have weighted euclidean distances")

    @property
    def dim(self) -> int:
        return self.quantizer.dim

    @property
    def encoding(self) -> dict[str, Any]:
        own = {"semantic_dim": self.semantic_dim, "semantic_weight": self.semantic_weight, "kind": self.kind}
        return {"quantizer": self.quantizer.encoding, **own}

    def __str__(self) -> str:
        parts = f"{self.semantic_dim} semantic and {self.dim - self.semantic_dim} pixel channels"
        return f"{self.quantizer.size:,} codes of {parts}"


CodesConfig: TypeAlias = (
    FSQConfig
    | RoundedFSQConfig
    | LFQConfig
    | BSQConfig
    | VQConfig
    | IBQConfig
    | SoftVQConfig
    | ResidualConfig
    | ProductConfig
    | MultiHeadConfig
    | DualConfig
)  # quantizers with codebooks, of which others can be made

QuantizerConfig: TypeAlias = CodesConfig | ContinuousConfig
"""`str` names it for `videogen info`; its `encoding` are the settings that decide which codes a latent becomes."""


def encoder_dim_of(config: QuantizerConfig) -> int:
    """How many channels it wants from the encoder, once or several times `dim`; the first `dim` are the latent."""
    return config.encoder_dim if isinstance(config, ContinuousConfig) else config.dim
