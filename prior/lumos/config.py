"""What defines a Lumos-1."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from prior.config import BlockShape, Objective, PriorInputs
from prior.head_config import FlatConfig
from prior.lumos.sequence import LARGEST_COUNT, SIZE_UNIT, START_LENGTH, VIDEO_START, frame_length

AXIS_PATTERN = 32  # channels of a head after which the axes of its rotary positions repeat in both halves


@dataclass(frozen=True, kw_only=True)
class Lumos1Config(BlockShape, PriorInputs):
    """The published ones were trained on clips of 2 seconds at 12 frames a second: seven latent frames, the `window`
    of six and the one that is decided.

    Up to `window` + 1 latent frames a stream is a clip of the published model. After that the oldest latent frame is
    forgotten with each new one, and the others move up to the positions before theirs; the prompt stays.
    """

    kind: Literal["lumos1"] = "lumos1"
    window: int  # earlier latent frames that a latent frame attends to
    theta: float  # rotary base
    seconds: int  # of a clip; the prior is told both before the first latent frame
    fps: int
    history_mask: float = 0.7  # share of an earlier latent frame that later ones do not see

    objective: ClassVar[Objective] = "masked"
    captions: ClassVar[bool] = False
    mask_noise: ClassVar[int] = 0
    head: ClassVar[FlatConfig] = FlatConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window", "seconds", "fps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        for name in ("seconds", "fps"):
            if getattr(self, name) > LARGEST_COUNT:
                raise ValueError(f"{name} = {getattr(self, name)}: Lumos-1 counts to {LARGEST_COUNT}")
        if not 0 <= self.history_mask <= 1:
            raise ValueError(f"history_mask = {self.history_mask:g} must be 0 to 1")
        if self.head_dim % AXIS_PATTERN:
            raise ValueError(f"width / heads = {self.head_dim} must be a multiple of {AXIS_PATTERN}")
        if not self.theta > 1:
            raise ValueError(f"theta = {self.theta:g} must be above 1")
        if self.context is None or self.context.vocabulary is None or self.control is not None:
            raise ValueError("Lumos-1 needs text as ids, and takes no control")
        if self.context.vocabulary <= VIDEO_START:
            raise ValueError(f"vocabulary = {self.context.vocabulary}: ids up to {VIDEO_START} have a meaning")
        if len(self.spec.groups) != 1 or len(self.spec.groups[0].shape) != 2 or self.spec.continuous:
            raise ValueError(f"Lumos-1 needs one grid of codes; these are {self.spec}")
        rows, columns = self.spec.groups[0].shape
        if rows % SIZE_UNIT or columns % SIZE_UNIT or max(rows, columns) > LARGEST_COUNT * SIZE_UNIT:
            most = LARGEST_COUNT * SIZE_UNIT
            raise ValueError(f"Lumos-1 needs rows and columns in multiples of {SIZE_UNIT}, at most {most}: {self.spec}")

    @property
    def summary(self) -> str:
        """In a few words, for people."""
        return f"Lumos-1 of {self.layers} layers of {self.width}, {self.heads} heads, {self.kv_heads} of keys"

    @property
    def vocabulary(self) -> int:
        """Ids of text, which come before those of tokens of a video."""
        assert self.context is not None
        assert self.context.vocabulary is not None
        return self.context.vocabulary

    @property
    def takes_noise_rate(self) -> bool:
        return False

    @property
    def context_length(self) -> int:
        """Positions before the first frame: the text, and the start of a video."""
        assert self.context is not None
        return self.context.length + START_LENGTH

    @property
    def past_numbers(self) -> int:
        """How many numbers the past of a stream holds."""
        positions = self.context_length + (self.window + 1) * frame_length(self.spec.groups[0].shape)
        return 2 * self.layers * self.kv_heads * self.head_dim * positions
