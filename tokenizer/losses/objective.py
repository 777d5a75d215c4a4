"""What stage one minimises, put together from named numbers.

    tokenizer      l1 + l2 + perceptual (+ adversarial from its start step) + the quantizer's own terms
    discriminator  judging + LeCam

Every part gives a Loss: a total to minimise, and the plain terms for the log. Clips are [B, C, T, H, W] in [-1, 1].
"""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from tokenizer.losses.adversarial import (
    AdversarialConfig,
    LeCam,
    MeanOverProcesses,
    accuracy,
    adaptive_weight,
    fooling_loss,
    judging_loss,
    mean_of_each,
    ramp,
)
from tokenizer.losses.perceptual import LPIPSConfig, MultiscaleStructureConfig, PerceptualLoss
from tokenizer.precision import at_least_float32


@dataclass(frozen=True)
class LossConfig:
    """Weights of the tokenizer's terms; the quantizer's are in its own config."""

    l1: float
    l2: float
    perceptual: MultiscaleStructureConfig | LPIPSConfig | None
    adversarial: AdversarialConfig | None

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} must not be negative")
        if self.l1 == self.l2 == 0:
            raise ValueError("l1 and l2 are both 0: nothing would keep the colours where they are")


class Loss(NamedTuple):
    total: Tensor  # a scalar with a gradient
    terms: dict[str, Tensor]  # scalars without: unweighted, named as in the log


def l1(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The mean absolute difference of each clip: [B]."""
    return mean_of_each((at_least_float32(reconstruction) - at_least_float32(target)).abs())


def l2(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of each clip: [B]."""
    return mean_of_each((at_least_float32(reconstruction) - at_least_float32(target)).square())


def reconstruction_loss(
    config: LossConfig, perceptual: PerceptualLoss | None, reconstruction: Tensor, target: Tensor, step: int
) -> Loss:
    """l1, l2 and the perceptual term under its own name; `perceptual` is what config.perceptual describes."""
    assert (perceptual is None) == (config.perceptual is None), "the perceptual loss and its config go together"
    terms = {"l1": l1(reconstruction, target).mean(), "l2": l2(reconstruction, target).mean()}
    total = config.l1 * terms["l1"] + config.l2 * terms["l2"]
    if perceptual is not None and config.perceptual is not None:
        terms[perceptual.name] = perceptual(reconstruction, target, step).mean()
        total = total + config.perceptual.weight * terms[perceptual.name]
    return Loss(total, detached(terms))


def adversarial_loss(
    config: AdversarialConfig,
    fake_logits: Tensor,
    reconstruction_total: Tensor,
    shared: Tensor,
    step: int,
    mean_over_processes: MeanOverProcesses = lambda norms: norms,
) -> Loss:
    """The tokenizer's side of the game, already weighted; `shared` is as in `adaptive_weight`."""
    fooling = fooling_loss(config.loss, fake_logits).mean()
    weight = fooling.new_tensor(config.weight * ramp(config, step))
    if config.adaptive_bound is not None:
        weight = weight * adaptive_weight(
            reconstruction_total, fooling, shared, config.adaptive_bound, mean_over_processes
        )
    return Loss(weight * fooling, detached({"adversarial": fooling, "adversarial_weight": weight}))


def discriminator_loss(config: AdversarialConfig, lecam: LeCam, real_logits: Tensor, fake_logits: Tensor) -> Loss:
    """The discriminator's side; the fake logits are those of a reconstruction without a gradient."""
    judging = judging_loss(config.loss, real_logits, fake_logits).mean()
    penalty = lecam.penalty(real_logits, fake_logits).mean()
    terms = {
        "discriminator": judging,
        "lecam": penalty,
        "discriminator_accuracy": accuracy(real_logits, fake_logits),
        "discriminator_real": real_logits.float().mean(),
        "discriminator_fake": fake_logits.float().mean(),
    }
    return Loss(judging + config.lecam_weight * penalty, detached(terms))


def detached(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: term.detach() for name, term in terms.items()}
