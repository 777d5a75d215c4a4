"""The settings of the sampler: flags, HTTP fields, signatures and checks come from this table."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypedDict

from sampling.settings import setting, specs_of

Order = Literal["halton", "confidence", "random", "threshold", "raster", "autoregressive"]
Schedule = Literal["cosine", "linear", "arccos", "square"]
Ramp = Literal["constant", "linear", "cosine"]
GuidanceDrops = Literal["text", "control", "both"]

ORDERS: dict[str, tuple[Order, ...]] = {  # that work with each training objective of a prior
    "masked": ("halton", "confidence", "random", "threshold", "raster"),
    "autoregressive": ("autoregressive", "raster"),
}
WITH_LIKELIHOOD: tuple[Order, ...] = ("confidence", "threshold")  # they need the probability of a token
RANDOM_SEEDS = 2**32  # random seeds are below this: short enough to type
LOWEST_TEMPERATURE = 1e-6  # below this, float32 overflows
FIRST_FRAMES = 2  # latent frames at the start of a scene: the first sets its content, the second its motion


@dataclass(frozen=True)
class SamplerConfig:
    """How the tokens of a latent frame are sampled. Temperature, top_k and top_p hold for each code of a token.

    halton          evenly spread positions first, the same in every frame
    confidence      the most confident tokens first, with noise that fades within each frame
    random          positions in random order
    threshold       all tokens above a probability, and at least as many as the schedule: easy frames end early
    raster          row by row, with a full forward pass for each token; works with any prior
    autoregressive  row by row with a key-value cache, for a prior trained with objective autoregressive
    """

    order: Order = setting("halton", "Which tokens of a latent frame are sampled first.")
    steps: int = setting(
        8,
        "Forward passes per latent frame (per group, if its tokens come in groups), at most; fewer are faster.",
        minimum=1,
    )
    first_frames_step_multiplier: int = setting(
        1, "Multiplies the steps in the first two latent frames of a scene.", minimum=1
    )
    schedule: Schedule = setting("cosine", "How many tokens each step samples.")
    temperature: float = setting(
        1.0, "Divides the logits; 0 takes the most probable code.", minimum=LOWEST_TEMPERATURE, allow_zero=True
    )
    top_k: int | None = setting(None, "Sample from the k most probable codes; 0: from all.", minimum=0)
    top_p: float | None = setting(
        None, "Sample from the most probable codes that together have this probability.", exclusive_minimum=0, maximum=1
    )
    guidance_scale: float = setting(
        1.0, "Above 1: follows the prompt more closely, at twice the cost; 0 ignores it.", minimum=0
    )
    guidance_schedule: Ramp = setting("constant", "How guidance rises from 1 to its scale over the steps of a frame.")
    guidance_drops: GuidanceDrops = setting(
        "text", "What the second stream of guidance goes without: the text, the control, or both."
    )
    noise: float = setting(4.5, "Randomness of the order confidence, in nats.", minimum=0)  # 4.5: as in MaskGIT
    threshold: float = setting(
        0.9, "Probability from which the order threshold accepts a token.", exclusive_minimum=0, maximum=1
    )

    RENAMED: ClassVar[dict[str, str]] = {
        "opening": "first_frames_step_multiplier",
        "order=next": "order=autoregressive",
    }

    def __post_init__(self) -> None:
        if (new := self.RENAMED.get(f"order={self.order}")) is not None:
            raise ValueError(f"order = {self.order} is now {new}")
        for name, spec in SETTINGS.items():
            spec.check(getattr(self, name))

    @property
    def guided(self) -> bool:
        """Whether the past has each stream twice: with text and without (see `guidance_drops`)."""
        return self.guidance_scale != 1

    @property
    def drops_text(self) -> bool:
        """Whether the second stream of guidance is without the prompt."""
        return self.guidance_drops != "control"

    @property
    def drops_control(self) -> bool:
        """Whether the second stream of guidance is without the control."""
        return self.guidance_drops != "text"

    def of_frame(self, frame: int) -> "SamplerConfig":
        """The settings for latent frame number `frame` of a scene, from 0."""
        if self.first_frames_step_multiplier == 1 or frame >= FIRST_FRAMES:
            return self
        return replace(self, steps=self.steps * self.first_frames_step_multiplier)

    def steps_of(self, tokens: int) -> int:
        """The maximum number of steps for a latent frame with this many masked tokens: at most one per token."""
        return tokens if self.order in ORDERS["autoregressive"] else min(self.steps, tokens)


SETTINGS = specs_of(SamplerConfig)


class SamplingOverrides(TypedDict, total=False):
    """Settings as keyword arguments, except `guidance_scale`, which calls name; None: the model's own value."""

    order: Order | None
    steps: int | None
    first_frames_step_multiplier: int | None
    schedule: Schedule | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    guidance_schedule: Ramp | None
    guidance_drops: GuidanceDrops | None
    noise: float | None
    threshold: float | None


def orders_of(objective: str, likelihood: bool = True) -> tuple[Order, ...]:
    """The orders that work with a prior; `likelihood`: whether its head knows the probability of a token."""
    return tuple(order for order in ORDERS[objective] if likelihood or order not in WITH_LIKELIHOOD)


def incompatibility(order: Order, objective: str, likelihood: bool = True) -> str | None:
    """Why a prior cannot be sampled in this order, or None."""
    orders = orders_of(objective, likelihood)
    if order in orders:
        return None
    whose = f"whose objective is {objective}" if order not in ORDERS[objective] else "whose head has no likelihood"
    return f"order = {order} does not work with this prior, {whose}; use {', '.join(orders)}"
