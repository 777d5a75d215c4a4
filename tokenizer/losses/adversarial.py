"""Adversarial training of the tokenizer: the two losses, the adaptive weight, LeCam, and the schedule.

The discriminator's logits are [B, ...], and positive means real. A loss is one number per clip [B] unless stated
otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenizer.losses.discriminator import DiscriminatorConfig
from tokenizer.precision import at_least_float32

AdversarialKind: TypeAlias = Literal["hinge", "non_saturating"]
MeanOverProcesses: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialConfig:
    """The discriminator trains from `start_step` on; the weight of the adversarial loss ramps up over `ramp_steps`."""

    loss: AdversarialKind
    weight: float
    start_step: int
    ramp_steps: int
    adaptive_bound: float | None  # upper limit of the adaptive weight; null: a constant weight
    lecam_weight: float
    lecam_decay: float
    discriminator: DiscriminatorConfig

    def __post_init__(self) -> None:
        for name in ("weight", "start_step", "ramp_steps", "lecam_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} must not be negative")
        if self.adaptive_bound is not None and self.adaptive_bound <= 0:
            raise ValueError(f"adaptive_bound = {self.adaptive_bound} must be positive, or null")
        if not 0 <= self.lecam_decay < 1:
            raise ValueError(f"lecam_decay = {self.lecam_decay} must lie in [0, 1)")


def is_active(config: AdversarialConfig, step: int) -> bool:
    """Whether the discriminator trains at this step, counted from 0."""
    return step >= config.start_step


def ramp(config: AdversarialConfig, step: int) -> float:
    """The factor of the adversarial weight at this step: 0 before the start, then linearly to 1."""
    if not is_active(config, step):
        return 0.0
    return min(1.0, (step - config.start_step + 1) / max(1, config.ramp_steps))


def gan_generator_loss(kind: AdversarialKind, fake_logits: Tensor) -> Tensor:
    """The tokenizer's loss on the logits of its reconstructions."""
    fake = at_least_float32(fake_logits)
    return mean_per_clip(-fake if kind == "hinge" else F.softplus(-fake))


def gan_discriminator_loss(kind: AdversarialKind, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The discriminator's loss on the logits of clips and of reconstructions."""
    real, fake = at_least_float32(real_logits), at_least_float32(fake_logits)
    if kind == "hinge":
        return mean_per_clip(F.relu(1 - real)) + mean_per_clip(F.relu(1 + fake))
    return mean_per_clip(F.softplus(-real)) + mean_per_clip(F.softplus(fake))


def accuracy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The share of patches that are classified correctly, the mean of real and fake: a scalar in [0, 1]."""
    return ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2


def adaptive_weight(
    reconstruction: Tensor,
    adversarial: Tensor,
    shared: Tensor,
    bound: float,
    mean_over_processes: MeanOverProcesses = lambda norms: norms,
) -> Tensor:
    """The factor in [0, bound] that scales the adversarial gradient to the norm of the reconstruction gradient.

    Both losses are scalars. The gradients are taken at `shared`, through which both losses depend on the tokenizer:
    the weight of the decoder's last layer, or the reconstructed clip where weights are sharded or compiled.
    """
    norms = [
        torch.autograd.grad(loss, shared, retain_graph=True)[0].float().norm() for loss in (reconstruction, adversarial)
    ]
    reconstruction_norm, adversarial_norm = mean_over_processes(torch.stack(norms))
    return torch.clamp(reconstruction_norm / (adversarial_norm + 1e-8), 0, bound).detach()


class LeCam(nn.Module):
    """LeCam regularization: moving averages of the discriminator's logits, and a penalty for drifting away from them.

    Published as Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data" (2021). The averages
    are buffers, so checkpoints hold them.
    """

    averages: Tensor
    updates: Tensor

    def __init__(self, decay: float):
        super().__init__()
        self.decay = decay
        self.register_buffer("averages", torch.zeros(2))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(
        self, real_logits: Tensor, fake_logits: Tensor, mean_over_processes: MeanOverProcesses = lambda means: means
    ) -> None:
        """Update the averages after a step, with logits of any device; averages that are not finite are skipped.

        The first 1 / (1 - decay) updates have equal weights, so the initial zeros have none.
        """
        means = torch.stack([real_logits.float().mean(), fake_logits.float().mean()])
        now = mean_over_processes(means.to(self.averages.device))
        finite = now.isfinite().all()
        self.updates += finite
        rate = (1 / self.updates.clamp_min(1)).clamp_min(1 - self.decay)
        self.averages.copy_(torch.where(finite, self.averages.lerp(now, rate), self.averages))

    def penalty(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Squared distance of real logits above the average fake one, and of fake logits below the average real one."""
        real_average, fake_average = self.averages.unbind()
        above = F.relu(at_least_float32(real_logits) - fake_average).square()
        below = F.relu(real_average - at_least_float32(fake_logits)).square()
        return mean_per_clip(above) + mean_per_clip(below)


def mean_per_clip(x: Tensor) -> Tensor:
    """[B, ...] -> [B]"""
    return x.flatten(1).mean(1)
