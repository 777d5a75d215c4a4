"""The training losses of tokenizer and discriminator, as weighted sums of named terms.

    tokenizer      l1 + l2 + perceptual (+ adversarial from its start step) (+ alignment) + the quantizer's own terms
    discriminator  classification + LeCam

Each function returns a Loss: a total to minimize, and the unweighted terms for the log. Clips are
[B, C, T, H, W] in [-1, 1].
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
    gan_discriminator_loss,
    gan_generator_loss,
    mean_per_clip,
    ramp,
)
from tokenizer.losses.alignment import AlignmentConfig
from tokenizer.losses.lpips import LPIPSConfig
from tokenizer.losses.perceptual import MultiscaleStructureConfig, PerceptualLoss
from tokenizer.precision import at_least_float32


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms of the tokenizer's loss; those of the quantizer are in its own config."""

    l1: float
    l2: float
    perceptual: MultiscaleStructureConfig | LPIPSConfig | None
    adversarial: AdversarialConfig | None
    alignment: AlignmentConfig | None = None

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} must not be negative")
        if self.l1 == self.l2 == 0:
            raise ValueError("l1 and l2 are both 0: no other term determines the colors")


class Loss(NamedTuple):
    total: Tensor  # scalar with a gradient
    terms: dict[str, Tensor]  # unweighted scalars without gradients, by their names in the log


def l1(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of each clip: [B]."""
    return mean_per_clip((at_least_float32(reconstruction) - at_least_float32(target)).abs())


def l2(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of each clip: [B]."""
    return mean_per_clip((at_least_float32(reconstruction) - at_least_float32(target)).square())


def reconstruction_loss(
    config: LossConfig, perceptual: PerceptualLoss | None, reconstruction: Tensor, target: Tensor, step: int
) -> Loss:
    """l1, l2 and the perceptual term; `perceptual` is the loss that `config.perceptual` describes."""
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
    """The tokenizer's adversarial loss, weighted; `shared` is as in `adaptive_weight`."""
    generator = gan_generator_loss(config.loss, fake_logits).mean()
    weight = generator.new_tensor(config.weight * ramp(config, step))
    if config.adaptive_bound is not None:
        weight = weight * adaptive_weight(
            reconstruction_total, generator, shared, config.adaptive_bound, mean_over_processes
        )
    return Loss(weight * generator, detached({"adversarial": generator, "adversarial_weight": weight}))


def discriminator_loss(config: AdversarialConfig, lecam: LeCam, real_logits: Tensor, fake_logits: Tensor) -> Loss:
    """The discriminator's loss; the fake logits are of a reconstruction without a gradient."""
    classification = gan_discriminator_loss(config.loss, real_logits, fake_logits).mean()
    penalty = lecam.penalty(real_logits, fake_logits).mean()
    terms = {
        "discriminator": classification,
        "lecam": penalty,
        "discriminator_accuracy": accuracy(real_logits, fake_logits),
        "discriminator_real": real_logits.float().mean(),
        "discriminator_fake": fake_logits.float().mean(),
    }
    return Loss(classification + config.lecam_weight * penalty, detached(terms))


def detached(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: term.detach() for name, term in terms.items()}
