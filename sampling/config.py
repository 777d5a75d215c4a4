"""What a sampler can be told."""

import math
from dataclasses import dataclass, replace
from typing import Literal

Order = Literal["halton", "confidence", "random", "threshold", "raster", "next"]
Schedule = Literal["cosine", "linear", "arccos", "square"]
Ramp = Literal["constant", "linear", "cosine"]

COLDEST = 1e-6  # closer to 0 than this, float32 runs out of numbers
OPENING = 2  # latent frames: in the first things are drawn, in the second they begin to move


@dataclass(frozen=True)
class SamplerConfig:
    """How the tokens of a latent frame are decided. Cuts (top_k, top_p) and temperature hold digit by digit.

    halton      evenly spread places first, always the same ones
    confidence  what the prior is surest of, with noise that fades within each frame
    random      places by lot
    threshold   everything that the prior is sure of, and no less than the schedule asks for: sure frames end early
    raster      row by row, a whole proposal for each token; right for any prior
    next        the same for a prior taught in raster order: what it knows of the frame is kept from token to token
    """

    order: Order = "halton"
    steps: int = 8  # proposals a frame at most; raster and next take one for each token
    opening: int = 1  # times as many for the first two frames of a scene, which decide what the others go on with
    schedule: Schedule = "cosine"
    temperature: float = 1.0  # divides the logits; 0 takes the most probable
    top_k: int | None = None  # draw among the k most probable; None or 0: among all
    top_p: float | None = None  # draw among the most probable that together have this probability
    guidance_scale: float = 1.0  # 0 ignores the text, 1 follows it as it was learned, more exaggerates it
    guidance_schedule: Ramp = "constant"  # or from 1 up to the scale, over the steps of each frame
    noise: float = 4.5  # of the order by confidence, in nats; the value that MaskGIT was published with
    threshold: float = 0.9  # probability from which on the order by threshold is sure

    def __post_init__(self) -> None:
        for name, choices in (("order", Order), ("schedule", Schedule), ("guidance_schedule", Ramp)):
            if getattr(self, name) not in choices.__args__:  # type: ignore[attr-defined]
                raise ValueError(f"{name} = {getattr(self, name)} must be one of {', '.join(choices.__args__)}")  # type: ignore[attr-defined]
        for name in ("steps", "opening", "top_k"):
            if not hasattr(getattr(self, name) or 0, "__index__"):
                raise ValueError(f"{name} = {getattr(self, name)} must be a whole number")
        for name in ("steps", "opening"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.temperature != 0 and not COLDEST <= self.temperature < math.inf:
            raise ValueError(f"temperature = {self.temperature:g} must be 0, or from {COLDEST:g} up and not infinite")
        if self.top_k is not None and self.top_k < 0:
            raise ValueError(f"top_k = {self.top_k} must be at least 1, or 0 to draw among all")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p = {self.top_p:g} must be above 0 and at most 1")
        for name in ("guidance_scale", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name):g} must be 0 or more")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold = {self.threshold:g} must be above 0 and at most 1")

    @property
    def guided(self) -> bool:
        """Whether the past holds each stream twice: with the text, and without it."""
        return self.guidance_scale != 1

    def of_frame(self, frame: int) -> "SamplerConfig":
        """What holds for this frame of a scene, counted from 0."""
        return replace(self, steps=self.steps * self.opening) if self.opening > 1 and frame < OPENING else self

    def steps_of(self, tokens: int) -> int:
        """How many proposals a frame of so many undecided tokens takes at most: no more than there are tokens."""
        return tokens if self.order in ("raster", "next") else min(self.steps, tokens)


def unsuited(order: Order, objective: str) -> str | None:
    """Why a prior of this objective cannot be asked in this order, or None; raster suits every prior."""
    if order == "next" and objective != "next":
        return (
            "order = next asks token by token, which this prior was not taught (its objective is masked); "
            "use halton, confidence, random, threshold or raster"
        )
    if order not in ("next", "raster") and objective == "next":
        return (
            f"order = {order} decides many tokens at once, which this prior was not taught (its objective is next); "
            "use next or raster"
        )
    return None
