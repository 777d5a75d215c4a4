"""The settings of the sampler: flags, HTTP fields, signatures and checks come from this table."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypedDict

from sampling.settings import setting, specs_of

Order = Literal["halton", "confidence", "random", "threshold", "entropy", "raster", "autoregressive"]
Schedule = Literal["cosine", "linear", "arccos", "square"]
Ramp = Literal["constant", "linear", "cosine"]
GuidanceDrops = Literal["text", "control", "both"]

ORDERS: dict[str, tuple[Order, ...]] = {  # that work with each training objective of a prior
    "masked": ("halton", "confidence", "random", "threshold", "entropy", "raster"),
    "autoregressive": ("autoregressive", "raster"),
}
WITH_LIKELIHOOD: tuple[Order, ...] = ("confidence", "threshold", "entropy")  # they need the probability of a token
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
    entropy         the least uncertain tokens first, as many as a bound allows, and at least as many as the schedule
    raster          row by row, with a full forward pass for each token; works with any prior
    autoregressive  row by row with a key-value cache, for a prior trained with objective autoregressive
    """

    order: Order = setting("halton", "Which tokens of a latent frame are sampled first.")
    steps: int = setting(
        8,
        "Forward passes per latent frame (per group, if its tokens come in groups), at most; fewer are faster.",
        minimum=1,
    )
    group_steps: str | None = setting(
        None,
        "The steps of each group of tokens, coarse before fine, instead of steps in each.",
        pattern="[1-9][0-9]*([+][1-9][0-9]*)*",
        form="the steps of each group, such as 2+8",
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
    guidance_start: float = setting(
        0.0, "Share of the steps of a frame before which guidance is 1; they cost the same.", minimum=0, maximum=1
    )
    guidance_end: float = setting(
        1.0, "Share of the steps of a frame after which guidance is 1; they cost the same.", minimum=0, maximum=1
    )
    noise: float = setting(4.5, "Randomness of the order confidence, in nats.", minimum=0)  # 4.5: as in MaskGIT
    threshold: float = setting(
        0.9, "Probability from which the order threshold accepts a token.", exclusive_minimum=0, maximum=1
    )
    entropy_bound: float = setting(
        1.0,
        "Nats: the order entropy reveals tokens while the sum of their entropies without the largest is at most this.",
        exclusive_minimum=0,
    )
    draft_threshold: float | None = setting(
        None,
        "Copies tokens of the latent frame before that have at least this probability; fewer steps for the others.",
        exclusive_minimum=0,
        maximum=1,
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
        factor, groups = self.first_frames_step_multiplier, self.steps_of_groups
        multiplied = None if groups is None else "+".join(str(factor * steps) for steps in groups)
        return replace(self, steps=factor * self.steps, group_steps=multiplied)

    @property
    def steps_of_groups(self) -> tuple[int, ...] | None:
        """`group_steps` as numbers."""
        return None if self.group_steps is None else tuple(map(int, self.group_steps.split("+")))

    def steps_of(self, tokens: int, group: int = 0) -> int:
        """The maximum number of steps for this many masked tokens of group number `group`: at most one per token."""
        if self.order in ORDERS["autoregressive"]:
            return tokens
        groups = self.steps_of_groups
        return min(self.steps if groups is None else groups[group], tokens)


SETTINGS = specs_of(SamplerConfig)


class SamplingOverrides(TypedDict, total=False):
    """Settings as keyword arguments, except `guidance_scale`, which calls name; None: the model's own value."""

    order: Order | None
    steps: int | None
    group_steps: str | None
    first_frames_step_multiplier: int | None
    schedule: Schedule | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    guidance_schedule: Ramp | None
    guidance_drops: GuidanceDrops | None
    guidance_start: float | None
    guidance_end: float | None
    noise: float | None
    threshold: float | None
    entropy_bound: float | None
    draft_threshold: float | None


def orders_of(objective: str, likelihood: bool = True) -> tuple[Order, ...]:
    """The orders that work with a prior; `likelihood`: whether its head knows the probability of a token."""
    return tuple(order for order in ORDERS[objective] if likelihood or order not in WITH_LIKELIHOOD)


def incompatibility(
    sampler: SamplerConfig, objective: str, likelihood: bool = True, groups: int | None = None
) -> str | None:
    """Why a prior cannot be sampled with these settings, or None; the first word is the name of a setting.

    `likelihood` says whether its head knows the probability of a token; `groups` counts those of its tokens, if known.
    """
    orders = orders_of(objective, likelihood)
    if sampler.order not in orders:
        unsuited = sampler.order not in ORDERS[objective]
        whose = f"whose objective is {objective}" if unsuited else "whose head has no likelihood"
        return f"order = {sampler.order} does not work with this prior, {whose}; use {', '.join(orders)}"
    if sampler.draft_threshold is not None and not (likelihood and objective == "masked"):
        whose = f"whose objective is {objective}" if likelihood else "whose head has no likelihood"
        return f"draft_threshold = {sampler.draft_threshold:g} does not work with this prior, {whose}"
    return None if groups is None else wrong_group_steps(sampler, groups)


def wrong_group_steps(sampler: SamplerConfig, groups: int) -> str | None:
    """Why `group_steps` does not fit this number of groups, or None."""
    given = sampler.steps_of_groups
    if given is None or len(given) == groups:
        return None
    counts = f"groups with steps: {len(given)}; groups of tokens of this model: {groups}"
    return f"group_steps = {sampler.group_steps}: {counts}"
