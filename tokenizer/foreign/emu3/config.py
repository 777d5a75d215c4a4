"""The configuration of the Emu3 vision tokenizer."""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.networks.condition.config import ConditionConfig
from tokenizer.networks.config import check_choice, encoding_of
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.quantize import QuantizerConfig

GROUPS = 32  # of channels, of each norm within a frame
OTHER_FIELDS = frozenset({"spread_weight", "condition"})  # they decide no codes


@dataclass(frozen=True)
class Emu3TokenizerConfig:
    """Levels go from the finest, of single pixels, to the coarsest; each halves height and width.

    The public one has widths (256, 512, 512, 1024), 2 blocks, attention at level 3, f_t = 4 and 32,768 codes of 4
    numbers. All latent frames hold `f_t` frames, the first one too.
    """

    f_t: int
    widths: tuple[int, ...]  # channels of the levels
    blocks: int  # of each level of the encoder and along time; a level of the decoder has one more
    attention: tuple[int, ...]  # levels, 0 the finest, with attention after each block
    quantizer: QuantizerConfig
    spread_weight: float = 0.0  # weight of the loss that keeps latents in the range of the quantizer; 0: none
    channels: int = 3
    layout: LayoutConfig = GRID
    condition: ConditionConfig | None = None  # what the decoder is given beside the codes; null: nothing
    kind: Literal["emu3"] = "emu3"

    def __post_init__(self) -> None:
        check_choice("f_t", self.f_t, (1, 2, 4, 8))
        if not 3 <= len(self.widths) <= 5 or min(self.widths) < 1 or any(width % GROUPS for width in self.widths):
            expected = f"3 to 5 multiples of {GROUPS}, the finest level first"
            raise ValueError(f"widths = {self.widths}: expected {expected}")
        for name, least in (("blocks", 1), ("channels", 1), ("spread_weight", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        levels = range(len(self.widths))
        if len(set(self.attention)) < len(self.attention) or not set(self.attention) <= set(levels):
            raise ValueError(f"attention = {self.attention}: expected different levels, 0 to {levels[-1]}")
        self.layout.check_dim(self.quantizer.dim)
        if self.condition is not None:
            self.condition.check_channels(self.widths)

    @property
    def causal(self) -> bool:
        return True

    @property
    def f_s(self) -> int:
        return int(2 ** (len(self.widths) - 1))

    @property
    def halvings(self) -> int:
        """How often the encoder halves the number of frames."""
        return self.f_t.bit_length() - 1

    @property
    def size_multiple(self) -> int:
        """Height and width of frames must be multiples of it."""
        return self.f_s * self.layout.multiple

    @property
    def encoding(self) -> dict[str, Any]:
        """The settings that decide which codes a clip becomes."""
        return encoding_of(self, OTHER_FIELDS)
