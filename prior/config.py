"""What defines a prior."""

from dataclasses import dataclass
from typing import Literal

from prior.vocabulary import Vocabulary


@dataclass(frozen=True)
class ContextConfig:
    """The text that a prior is told, as ids of a small vocabulary or as features of a frozen encoder."""

    length: int  # tokens of a caption, padded or cut to it
    vocabulary: int | None = None
    features: int | None = None

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length = {self.length} must be at least 1")
        if (self.vocabulary is None) == (self.features is None):
            raise ValueError("vocabulary and features are two ways to give text: set one of them")


@dataclass(frozen=True, kw_only=True)
class PriorShape:
    """A Llama over latent frames, apart from what it is about."""

    width: int
    layers: int
    heads: int
    kv_heads: int  # each serves heads / kv_heads heads
    hidden: int  # of the feed-forward layers
    window: int  # so many latent frames before its own are visible to a frame
    objective: Literal["masked", "next"]  # frames decided in parallel, or token after token in raster order
    sink_frames: int = 0  # the first so many latent frames stay visible for ever, timelessly, as the text does
    qk_norm: bool = True
    positions: Literal["frame", "line"] = "frame"  # (t, y, x), or one number a token as in a model of text
    theta: float = 100.0  # rotary base; 10,000 or more for positions on a line
    head_width: int | None = None  # null: width / heads
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "kv_heads", "hidden", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.sink_frames < 0:
            raise ValueError(f"sink_frames = {self.sink_frames} must not be negative")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads = {self.kv_heads} must divide heads = {self.heads}")
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}, or head_width be given")
        if self.channels_a_head % 2:
            raise ValueError(f"head_width = {self.channels_a_head} must be even: rotary positions turn pairs")
        if self.positions == "line" and self.sink_frames:
            raise ValueError("sink_frames need positions by frame; on a line there is no time to leave out")
        if not self.theta > 1:
            raise ValueError(f"theta = {self.theta:g} must be above 1")

    @property
    def channels_a_head(self) -> int:
        return self.width // self.heads if self.head_width is None else self.head_width


@dataclass(frozen=True, kw_only=True)
class PriorConfig(PriorShape):
    """All that defines a prior. Without a context it is told nothing: neither text nor the rate of corruption."""

    digits: tuple[int, ...]  # of an id, the least significant first; their product is the vocabulary
    context: ContextConfig | None

    def __post_init__(self) -> None:
        super().__post_init__()
        Vocabulary(self.digits)
        if self.positions == "line" and self.context is not None:
            raise ValueError("context needs positions by frame: on a line every token has a time")

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.digits)

    @property
    def context_length(self) -> int:
        """Positions before the first frame: the rate of corruption, and the text."""
        return 0 if self.context is None else 1 + self.context.length
