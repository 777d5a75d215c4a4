"""The configuration of the factorized tokenizer."""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.networks.condition.config import ConditionConfig
from tokenizer.networks.config import DECODER_FIELDS, CNNTokenizerConfig, check_choice, encoding_of
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.quantize import QuantizerConfig


@dataclass(frozen=True)
class FactorizedTokenizerConfig:
    """A network for each frame, with levels as in a CNNTokenizerConfig, then one along time at f_s x f_s pixels.

    With an image quantizer the network for frames is a tokenizer of images too, trained along on single frames.
    """

    f_t: int
    f_s: int
    front: Literal["patch", "haar"]
    front_s: int
    encoder_widths: tuple[int, ...]  # of the network for frames, and the last one of the network along time
    encoder_blocks: tuple[int, ...]
    encoder_time_blocks: int
    decoder_widths: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    decoder_time_blocks: int
    attention: bool  # within a frame, at the coarsest level
    kernel_t: int  # latent frames of a temporal kernel: at least 2
    quantizer: QuantizerConfig
    spread_weight: float  # weight of the loss that keeps latents in the range of the quantizer; 0: none
    image_quantizer: QuantizerConfig | None = None  # of the image tokenizer inside; none: there is none
    image_weight: float = 1.0  # of its losses: the mean squared error of single frames, and its quantizer's
    channels: int = 3
    layout: LayoutConfig = GRID
    condition: ConditionConfig | None = None  # what the decoder is given beside the codes; null: nothing
    causal: bool = True  # false: temporal kernels also see later frames; for comparisons, because it cannot stream
    kind: Literal["factorized"] = "factorized"

    def __post_init__(self) -> None:
        check_choice("f_t", self.f_t, (1, 2, 4, 8))
        self.layout.check_dim(self.quantizer.dim)
        _ = self.image  # raises for what a network for frames cannot have
        for name, least in (("encoder_time_blocks", 1), ("decoder_time_blocks", 1), ("kernel_t", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        if self.condition is not None:
            self.condition.check_channels(self.decoder_widths[-1:])
        if not self.causal and self.kernel_t % 2 == 0:
            raise ValueError(f"kernel_t = {self.kernel_t} must be odd where causal is false: kernels are centered")
        if self.image_quantizer is not None and self.image_weight <= 0:
            raise ValueError(f"image_weight = {self.image_weight} must be above 0 where there is an image_quantizer")

    @property
    def image(self) -> CNNTokenizerConfig:
        """The network for frames as a tokenizer of images: of single frames, without time."""
        return CNNTokenizerConfig(
            f_t=1,
            f_s=self.f_s,
            front=self.front,
            front_t=1,
            front_s=self.front_s,
            encoder_widths=self.encoder_widths,
            encoder_blocks=self.encoder_blocks,
            decoder_widths=self.decoder_widths,
            decoder_blocks=self.decoder_blocks,
            attention=self.attention,
            kernel_t=1,
            quantizer=self.image_quantizer or self.quantizer,
            spread_weight=self.spread_weight,
            channels=self.channels,
        )

    @property
    def size_multiple(self) -> int:
        """Height and width of frames must be multiples of it."""
        return self.f_s * self.layout.multiple

    @property
    def encoding(self) -> dict[str, Any]:
        """The settings that decide which codes a clip, or an image alone, becomes."""
        image = None if self.image_quantizer is None else self.image_quantizer.encoding
        others = (
            DECODER_FIELDS
            | {"spread_weight", "image_weight", "condition", "kind"}
            | ({"causal"} if self.causal else set())
        )
        return {**encoding_of(self, others), "image_quantizer": image}
