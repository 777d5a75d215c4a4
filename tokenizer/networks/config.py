"""The configuration of the convolutional tokenizer."""

from collections.abc import Set
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from tokenizer.networks.condition.config import ConditionConfig
from tokenizer.networks.layouts import GRID, LayoutConfig
from tokenizer.quantize import QuantizerConfig

DECODER_FIELDS = frozenset({"decoder_widths", "decoder_blocks", "decoder_time_blocks"})  # of any kind


@dataclass(frozen=True)
class CNNTokenizerConfig:
    """The network has levels from the finest to the coarsest; each halves the height and width of the one before.

    The front end turns patches of `front_t` x `front_s` x `front_s` pixels into positions without loss. The levels do
    the rest: log2(f_s / front_s) halvings in space, and at the coarsest of them log2(f_t / front_t) in time.
    """

    f_t: int
    f_s: int
    front: Literal["patch", "haar"]
    front_t: int
    front_s: int
    encoder_widths: tuple[int, ...]
    encoder_blocks: tuple[int, ...]
    decoder_widths: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    attention: bool  # within a frame, at the coarsest level
    kernel_t: int  # frames of a temporal kernel; 1: each latent frame alone, without a memory
    quantizer: QuantizerConfig
    spread_weight: float  # weight of the loss that keeps latents in the range of the quantizer; 0: none
    channels: int = 3
    layout: LayoutConfig = GRID
    condition: ConditionConfig | None = None  # what the decoder is given beside the codes; null: nothing
    causal: bool = True  # false: temporal kernels also see later frames; for comparisons, because it cannot stream
    kind: Literal["cnn"] = "cnn"

    KIND_MAY_BE_MISSING: ClassVar[bool] = True  # configurations of before there were other kinds have none

    def __post_init__(self) -> None:
        check_choice("f_t", self.f_t, (1, 2, 4, 8))
        check_choice("f_s", self.f_s, (4, 8, 16))
        check_choice("front", self.front, ("patch", "haar"))
        check_choice("front_t", self.front_t, divisors(self.f_t))
        check_choice("front_s", self.front_s, divisors(self.f_s))
        if self.f_t // self.front_t > self.f_s // self.front_s:
            raise ValueError(f"front_t = {self.front_t} leaves more halvings in time than in space (f_t = {self.f_t})")
        for name in ("encoder_widths", "encoder_blocks", "decoder_widths", "decoder_blocks"):
            numbers = getattr(self, name)
            if len(numbers) != self.levels or min(numbers) < 1:
                raise ValueError(f"{name} = {numbers}: expected {self.levels} positive numbers, the finest level first")
        for name, least in (("kernel_t", 1), ("channels", 1), ("spread_weight", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least {least}")
        self.layout.check_dim(self.quantizer.dim)
        if self.condition is not None:
            self.condition.check_channels(self.decoder_widths)
        if not self.causal and self.kernel_t % 2 == 0:
            raise ValueError(f"kernel_t = {self.kernel_t} must be odd where causal is false: kernels are centered")

    @property
    def size_multiple(self) -> int:
        """Height and width of frames must be multiples of it."""
        return self.f_s * self.layout.multiple

    @property
    def levels(self) -> int:
        return (self.f_s // self.front_s).bit_length()

    @property
    def time_factors(self) -> tuple[int, ...]:
        """The factor, 1 or 2, by which each step to the next coarser level shortens time."""
        halvings = (self.f_t // self.front_t).bit_length() - 1
        return (1,) * (self.levels - 1 - halvings) + (2,) * halvings

    @property
    def encoding(self) -> dict[str, Any]:
        """The settings that decide which codes a clip becomes."""
        others = DECODER_FIELDS | {"spread_weight", "kind", "condition"} | ({"causal"} if self.causal else set())
        return encoding_of(self, others)


def encoding_of(config: Any, others: Set[str]) -> dict[str, Any]:
    """All settings but these, with what decides codes of the quantizer and of a layout other than a plain grid."""
    settings = {name: value for name, value in asdict(config).items() if name not in others | {"layout"}}
    layout = {} if config.layout == GRID else {"layout": config.layout.encoding}
    return {**settings, **layout, "quantizer": config.quantizer.encoding}


def divisors(power_of_two: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(power_of_two.bit_length()))


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} = {value!r} must be one of {', '.join(map(str, choices))}")
