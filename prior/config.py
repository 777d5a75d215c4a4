"""What defines a prior."""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias

from interfaces.text import CaptionInput
from interfaces.tokens import TokenSpec
from prior.head_config import ChainConfig, HeadConfig

Objective = Literal["masked", "autoregressive", "unified"]  # unified is short for masked with captions
ContextConfig: TypeAlias = CaptionInput  # the text that a prior is conditioned on


@dataclass(frozen=True)
class ControlConfig:
    """What a latent frame is conditioned on besides the text, such as a player's action or a camera motion."""

    discrete: int | None = None  # number of actions; controls are int64 [B, T]
    floats: int | None = None  # numbers per latent frame; controls are float [B, T, floats]

    def __post_init__(self) -> None:
        if (self.discrete is None) == (self.floats is None):
            raise ValueError("discrete and floats are two kinds of control: set one of them")
        if min(size for size in (self.discrete, self.floats) if size is not None) < 1:
            raise ValueError("a control needs at least one action, or one number")


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Blocks of a transformer."""

    width: int
    layers: int
    heads: int
    kv_heads: int  # each is shared by heads / kv_heads heads
    hidden: int  # of the feed-forward layers
    qk_norm: bool = True
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "kv_heads", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads = {self.kv_heads} must divide heads = {self.heads}")
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads} must divide width = {self.width}")
        if self.head_dim % 2:
            raise ValueError(f"width / heads = {self.head_dim} must be even: rotary positions rotate pairs of channels")

    @property
    def head_dim(self) -> int:
        """Channels of a head."""
        return self.width // self.heads


@dataclass(frozen=True, kw_only=True)
class PriorShape(BlockShape):
    """The network of a prior, without what depends on the tokens, the text and the controls."""

    kind: Literal["llama"] = "llama"
    window: int  # earlier latent frames that a latent frame attends to
    objective: Objective  # predict the tokens of a latent frame in parallel, or one by one in decode order
    captions: bool = False  # the prior also writes captions of clips, with the vocabulary of its text
    theta: float = 100.0  # rotary base; small, because positions within a latent frame are small
    head: HeadConfig = field(default_factory=ChainConfig)  # draws tokens from the features of the last block
    mask_noise: int = 0  # random numbers that each masked token is given: a distilled prior makes its choices by them

    KIND_MAY_BE_MISSING: ClassVar[bool] = True
    REMOVED: ClassVar[dict[str, str]] = {"sink_frames": "0"}  # keys of older files, and the one value that is read

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 1:
            raise ValueError(f"window = {self.window} must be at least 1")
        if self.objective not in Objective.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"objective = {self.objective} must be one of {', '.join(Objective.__args__)}")  # type: ignore[attr-defined]
        if self.objective == "unified":
            object.__setattr__(self, "objective", "masked")
            object.__setattr__(self, "captions", True)
        if self.mask_noise < 0:
            raise ValueError(f"mask_noise = {self.mask_noise} must not be negative")
        if self.mask_noise and self.objective != "masked":
            raise ValueError(f"mask_noise = {self.mask_noise} needs masked tokens; objective is {self.objective}")
        if not self.theta > 1:
            raise ValueError(f"theta = {self.theta:g} must be above 1")

    @property
    def summary(self) -> str:
        """In a few words, for people."""
        head = "" if self.head.kind == "chain" else f", head {self.head.kind}"
        return f"{self.layers} layers of {self.width}, {self.heads} heads, {self.kv_heads} of keys{head}"

    def with_tokens(
        self, spec: TokenSpec, context: ContextConfig | None, control: ControlConfig | None = None
    ) -> "PriorConfig":
        """The whole configuration, for these tokens, this text and this control."""
        return PriorConfig(**values_of(self), spec=spec, context=context, control=control)


@dataclass(frozen=True, kw_only=True)
class PriorInputs:
    """What a prior of any kind models, and what it is conditioned on. Without a context it takes neither text nor a
    noise rate."""

    spec: TokenSpec
    context: ContextConfig | None
    control: ControlConfig | None = None

    @property
    def takes_noise_rate(self) -> bool:
        """Whether the prior is told the share of wrong tokens in its past."""
        return self.context is not None

    @property
    def context_length(self) -> int:
        """Positions before the first frame: the noise rate and the text."""
        return 0 if self.context is None else 1 + self.context.length


@dataclass(frozen=True, kw_only=True)
class PriorConfig(PriorShape, PriorInputs):
    """All that defines a Llama over latent frames."""

    @property
    def past_numbers(self) -> int:
        """How many numbers the past of a stream holds."""
        positions = self.context_length + (self.window + 1) * self.spec.tokens
        return 2 * self.layers * self.kv_heads * self.head_dim * positions


def values_of(shape: Any) -> dict[str, Any]:
    """The fields of a dataclass by name; nested dataclasses stay what they are."""
    return {field.name: getattr(shape, field.name) for field in fields(shape)}
