"""The configuration of the transformer tokenizer."""

from dataclasses import dataclass
from typing import Any, Literal

from tokenizer.networks.condition.config import ConditionConfig
from tokenizer.networks.config import check_choice, encoding_of
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.quantize import QuantizerConfig

OTHER_FIELDS = frozenset({"decoder_blocks", "spread_weight", "condition"})  # they decide no codes


@dataclass(frozen=True)
class TransformerTokenizerConfig:
    """Patches of `f_t` x `f_s` x `f_s` pixels become positions; all blocks work on the grid of these positions.

    A block is attention within the windows of a frame, attention over time and a gated MLP. The windows of every other
    block are shifted by half a window, so that neighbors across a border of windows see each other too.
    """

    f_t: int
    f_s: int
    front: Literal["patch", "haar"]
    width: int
    heads: int
    encoder_blocks: int
    decoder_blocks: int
    window: int  # side of a spatial window, in positions; a frame that is smaller is one window
    window_t: int  # latent frames that attention over time sees, the present one included: at least 2
    mlp_ratio: float  # hidden channels of an MLP, as a multiple of the width
    quantizer: QuantizerConfig
    spread_weight: float  # weight of the loss that keeps latents in the range of the quantizer; 0: none
    channels: int = 3
    layout: LayoutConfig = GRID
    condition: ConditionConfig | None = None  # what the decoder is given beside the codes; null: nothing
    causal: bool = True  # false: attention over time also sees later frames; for comparisons, because it cannot stream
    kind: Literal["transformer"] = "transformer"

    def __post_init__(self) -> None:
        check_choice("f_t", self.f_t, (1, 2, 4, 8))
        check_choice("f_s", self.f_s, (4, 8, 16))
        check_choice("front", self.front, ("patch", "haar"))
        least = {"width": 4, "heads": 1, "encoder_blocks": 1, "decoder_blocks": 1, "window": 1, "window_t": 2}
        for name, smallest in {**least, "channels": 1, "spread_weight": 0}.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {smallest}")
        if self.width % (4 * self.heads):
            raise ValueError(f"width = {self.width} must be a multiple of 4 x heads = {4 * self.heads}")
        if self.hidden < 1:
            raise ValueError(f"mlp_ratio = {self.mlp_ratio} leaves no hidden channel at width = {self.width}")
        self.layout.check_dim(self.quantizer.dim)
        if self.condition is not None:
            self.condition.check_channels((self.width,))
        if not self.causal and self.window_t % 2 == 0:
            raise ValueError(f"window_t = {self.window_t} must be odd where causal is false: windows are centered")

    @property
    def hidden(self) -> int:
        """Hidden channels of an MLP."""
        return round(self.mlp_ratio * self.width)

    @property
    def patch_dim(self) -> int:
        return self.channels * self.f_t * self.f_s**2

    @property
    def size_multiple(self) -> int:
        """Height and width of frames must be multiples of it."""
        return self.f_s * self.layout.multiple

    @property
    def encoding(self) -> dict[str, Any]:
        """The settings that decide which codes a clip becomes."""
        return encoding_of(self, OTHER_FIELDS)
