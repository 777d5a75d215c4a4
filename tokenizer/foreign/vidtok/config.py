"""The configuration of VidTok."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from tokenizer.networks.condition.config import ConditionConfig
from tokenizer.networks.config import check_choice, encoding_of
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.quantize import QuantizerConfig

Version: TypeAlias = Literal["1.0", "1.1"]
OTHER_FIELDS = frozenset({"spread_weight", "condition"})  # they decide no codes


@dataclass(frozen=True)
class VidTokConfig:
    """The network has levels from the finest, of single pixels, to the coarsest; each halves height and width.

    Version 1.0 pads time with zeros and repeats frames where it has more of them. Version 1.1 pads with the first frame
    and interpolates between frames, so that its decoder looks a latent frame ahead. Weights do not tell which of the
    two they are for.
    """

    version: Version
    widths: tuple[int, ...]  # channels of the levels
    blocks: int  # of each level of the encoder; the decoder has one more
    time_down: tuple[int, ...]  # levels, 0 the finest, after which the encoder halves the number of frames
    time_up: tuple[int, ...]  # levels after which the decoder doubles it
    quantizer: QuantizerConfig
    spread_weight: float = 0.0  # weight of the loss that keeps latents in the range of the quantizer; 0: none
    channels: int = 3
    layout: LayoutConfig = GRID
    condition: ConditionConfig | None = None  # what the decoder is given beside the codes; null: nothing
    kind: Literal["vidtok"] = "vidtok"

    def __post_init__(self) -> None:
        check_choice("version", self.version, get_args(Version))
        if not 3 <= len(self.widths) <= 5 or min(self.widths) < 1:
            raise ValueError(f"widths = {self.widths}: expected 3 to 5 positive numbers, the finest level first")
        for name, least in (("blocks", 1), ("channels", 1), ("spread_weight", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        last = len(self.widths) - 1
        for name, reach in (("time_down", range(last)), ("time_up", range(1, last + 1))):
            levels = getattr(self, name)
            if len(set(levels)) < len(levels) or not set(levels) <= set(reach) or len(levels) > 3:
                raise ValueError(f"{name} = {levels}: expected at most 3 different levels, {reach[0]} to {reach[-1]}")
        if len(self.time_up) != len(self.time_down):
            raise ValueError(f"time_up = {self.time_up} must name as many levels as time_down = {self.time_down}")
        self.layout.check_dim(self.quantizer.dim)
        if self.condition is not None:
            self.condition.check_channels(self.widths)

    @property
    def causal(self) -> bool:
        """Whether it can stream."""
        return True

    @property
    def delay(self) -> int:
        """Latent frames that the decoder looks ahead."""
        return 1 if self.version == "1.1" else 0

    @property
    def repeats_first(self) -> bool:
        """Whether the past of a new stream is its first frame, repeated; it is zeros otherwise."""
        return self.version == "1.1"

    @property
    def f_t(self) -> int:
        return int(2 ** len(self.time_down))

    @property
    def f_s(self) -> int:
        return int(2 ** (len(self.widths) - 1))

    @property
    def size_multiple(self) -> int:
        """Height and width of frames must be multiples of it."""
        return self.f_s * self.layout.multiple

    @property
    def encoding(self) -> dict[str, Any]:
        """The settings that decide which codes a clip becomes."""
        return encoding_of(self, OTHER_FIELDS)
