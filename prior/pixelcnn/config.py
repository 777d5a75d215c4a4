"""What defines a PixelCNN."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from interfaces.tokens import TokenSpec
from prior.config import ContextConfig, ControlConfig, Objective, PriorInputs, values_of
from prior.head_config import ChainConfig, HeadConfig


@dataclass(frozen=True, kw_only=True)
class PixelCNNShape:
    """The network, without what depends on the tokens, the text and the controls.

    With `layers` layers a token sees as many rows above it, and columns beside it, in its own latent frame.
    """

    kind: Literal["pixelcnn"] = "pixelcnn"
    width: int
    layers: int
    window: int  # earlier latent frames that a latent frame reads
    head: HeadConfig = field(default_factory=ChainConfig)  # draws tokens from the features of the last layer
    epsilon: float = 1e-5

    objective: ClassVar[Objective] = "autoregressive"
    captions: ClassVar[bool] = False
    mask_noise: ClassVar[int] = 0

    def __post_init__(self) -> None:
        for name in ("width", "layers", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")

    @property
    def summary(self) -> str:
        """In a few words, for people."""
        head = "" if self.head.kind == "chain" else f", head {self.head.kind}"
        return f"PixelCNN of {self.layers} layers of {self.width}{head}"

    def with_tokens(
        self, spec: TokenSpec, context: ContextConfig | None, control: ControlConfig | None = None
    ) -> "PixelCNNConfig":
        """The whole configuration, for these tokens, this text and this control."""
        return PixelCNNConfig(**values_of(self), spec=spec, context=context, control=control)


@dataclass(frozen=True, kw_only=True)
class PixelCNNConfig(PixelCNNShape, PriorInputs):
    """All that defines a PixelCNN."""

    @property
    def past_numbers(self) -> int:
        """How many numbers the past of a stream holds."""
        return self.width * ((self.window + 1) * self.spec.tokens + 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.spec.groups) > 1:
            raise ValueError(f"kind = pixelcnn needs one group of tokens; these are {self.spec}: use llama")
