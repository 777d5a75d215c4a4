"""The game between tokenizer and discriminator: its two losses, what keeps them in balance, and when it begins.

Logits [B, ...] are the discriminator's; positive means real. Losses are one number a clip [B] unless said otherwise.
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
    """The discriminator learns from `start_step` on; its say in the tokenizer's loss grows over `ramp_steps`."""

    loss: AdversarialKind
    weight: float
    start_step: int
    ramp_steps: int
    adaptive_bound: float | None  # the adaptive weight's largest value; null: the weight stays as it is
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


def has_begun(config: AdversarialConfig, step: int) -> bool:
    """Whether the discriminator takes part at this step, counted from 0."""
    return step >= config.start_step


def ramp(config: AdversarialConfig, step: int) -> float:
    """The share of the adversarial weight at this step: 0 before the start, then in equal steps to 1."""
    if not has_begun(config, step):
        return 0.0
    return min(1.0, (step - config.start_step + 1) / max(1, config.ramp_steps))


def fooling_loss(kind: AdversarialKind, fake_logits: Tensor) -> Tensor:
    """What the tokenizer pays for patches that look like reconstructions."""
    fake = at_least_float32(fake_logits)
    return mean_of_each(-fake if kind == "hinge" else F.softplus(-fake))


def judging_loss(kind: AdversarialKind, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """What the discriminator pays for patches it takes for the other kind."""
    real, fake = at_least_float32(real_logits), at_least_float32(fake_logits)
    if kind == "hinge":
        return mean_of_each(F.relu(1 - real)) + mean_of_each(F.relu(1 + fake))
    return mean_of_each(F.softplus(-real)) + mean_of_each(F.softplus(fake))


def accuracy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The share of patches that the discriminator gets right, real and fake counting alike: a scalar in [0, 1]."""
    return ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()) / 2


def adaptive_weight(
    reconstruction: Tensor,
    adversarial: Tensor,
    shared: Tensor,
    bound: float,
    mean_over_processes: MeanOverProcesses = lambda norms: norms,
) -> Tensor:
    """The factor in [0, bound] that makes the adversarial gradient as long as the reconstruction's, without a gradient.

    Both losses are scalars, and `shared` is a tensor through which both depend on the tokenizer: the weight of the
    decoder's last layer. Where parameters are sharded or the network is compiled it is the reconstructed clip itself.
    """
    norms = [
        torch.autograd.grad(loss, shared, retain_graph=True)[0].float().norm() for loss in (reconstruction, adversarial)
    ]
    wanted, given = mean_over_processes(torch.stack(norms))
    return torch.clamp(wanted / (given + 1e-8), 0, bound).detach()


class LeCam(nn.Module):
    """Slow averages of the discriminator's verdicts, and a penalty for leaving those of the other side behind.

    The averages are the only thing here that is remembered; they are buffers, so that they are saved and restored.
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
        """Takes in the verdicts of one step, of any device, once the step was accepted; what is not finite is not.

        The first 1 / (1 - decay) updates count alike, so the beginning at zero is forgotten at once.
        """
        verdicts = torch.stack([real_logits.float().mean(), fake_logits.float().mean()])
        now = mean_over_processes(verdicts.to(self.averages.device))
        finite = now.isfinite().all()
        self.updates += finite
        rate = (1 / self.updates.clamp_min(1)).clamp_min(1 - self.decay)
        self.averages.copy_(torch.where(finite, self.averages.lerp(now, rate), self.averages))

    def penalty(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """How far real verdicts are above the average fake one and fake ones below the average real one, squared."""
        real_average, fake_average = self.averages.unbind()
        above = F.relu(at_least_float32(real_logits) - fake_average).square()
        below = F.relu(real_average - at_least_float32(fake_logits)).square()
        return mean_of_each(above) + mean_of_each(below)


def mean_of_each(x: Tensor) -> Tensor:
    """[B, ...] -> [B]"""
    return x.flatten(1).mean(1)
