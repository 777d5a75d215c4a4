"""The configuration of the Cosmos tokenizer."""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.networks.condition.config import ConditionConfig
from tokenizer.networks.config import DECODER_FIELDS, check_choice, encoding_of
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.quantize import QuantizerConfig

PATCH = 4  # frames and pixels that one position of the finest level stands for, in each direction
LEVELS = 3  # of residual blocks


@dataclass(frozen=True)
class CosmosTokenizerConfig:
    """Widths are channels after the first layer and after each of three levels; the finest comes first.

    The public ones have encoder_widths (128, 256, 512, 512), decoder_widths (256, 512, 512, 512), 2 blocks a level in
    the encoder and 3 in the decoder, and (f_t, f_s) of (4, 8), (8, 8) or (8, 16).
    """

    f_t: int
    f_s: int
    encoder_widths: tuple[int, ...]
    encoder_blocks: int  # residual blocks of a level
    decoder_widths: tuple[int, ...]  # the first is that of the last layer
    decoder_blocks: int
    latent_channels: int  # between the network and the linear layer that makes the numbers of a latent
    quantizer: QuantizerConfig
    window: int = 32  # latent frames that attention over time sees, the present one included: at least 2
    spread_weight: float = 0.0  # weight of the loss that keeps latents in the range of the quantizer; 0: none
    channels: int = 3
    layout: LayoutConfig = GRID
    condition: ConditionConfig | None = None  # what the decoder is given beside the codes; null: nothing
    kind: Literal["cosmos"] = "cosmos"

    def __post_init__(self) -> None:
        check_choice("f_t", self.f_t, (4, 8))
        check_choice("f_s", self.f_s, (8, 16))
        for name in ("encoder_widths", "decoder_widths"):
            numbers = getattr(self, name)
            if len(numbers) != LEVELS + 1 or min(numbers) < 1:
                raise ValueError(f"{name} = {numbers}: expected {LEVELS + 1} positive numbers, the finest level first")
        least = {"encoder_blocks": 1, "decoder_blocks": 1, "latent_channels": 1, "window": 2, "channels": 1}
        for name, smallest in {**least, "spread_weight": 0}.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {smallest}")
        self.layout.check_dim(self.quantizer.dim)
        if self.condition is not None:
            self.condition.check_channels(self.decoder_widths)

    @property
    def causal(self) -> bool:
        return True

    @property
    def size_multiple(self) -> int:
        """Height and width of frames must be multiples of it."""
        return self.f_s * self.layout.multiple

    @property
    def patch_dim(self) -> int:
        return self.channels * PATCH**3

    @property
    def encoder_steps(self) -> tuple[tuple[int, int], ...]:
        """The factors (time, space), each 1 or 2, between the three levels of the encoder, the finest first."""
        time, space = halvings(self.f_t), halvings(self.f_s)
        return tuple((2 if level < time else 1, 2 if level < space else 1) for level in range(LEVELS - 1))

    @property
    def decoder_steps(self) -> tuple[tuple[int, int], ...]:
        """The same between the levels of the decoder, the coarsest first."""
        time, space = halvings(self.f_t), halvings(self.f_s)
        both = [0 < level < time + 1 for level in range(LEVELS - 1)]
        alone = [level < space and space > time for level in range(LEVELS - 1)]
        return tuple((2 if b else 1, 2 if b or a else 1) for b, a in zip(both, alone, strict=True))

    @property
    def encoding(self) -> dict[str, Any]:
        """The settings that decide which codes a clip becomes."""
        return encoding_of(self, DECODER_FIELDS | {"spread_weight", "condition"})


def halvings(factor: int) -> int:
    """How often the levels halve what patches have left."""
    return (factor // PATCH).bit_length() - 1
