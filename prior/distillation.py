"""The arithmetic of distilling a masked prior to a few proposals a latent frame.

A proposal draws its tokens independently of each other. A student that proposes only once or twice has to make them
agree, so it is trained on its own latent frames: part of such a frame is masked again, and at each masked token the
teacher's distribution is compared with that of a critic, a prior that models the student's frames. Where the two agree
everywhere, the student's frames are distributed as the teacher's. Published as distribution matching by Yin et al.,
"One-step diffusion with distribution matching distillation" (2024), and for masked models by Zhu et al., "Di[M]O:
distilling masked diffusion models into one-step generator" (2025).
"""

import torch
from torch import Tensor


def matching_gradient(critic_V: Tensor, teacher_V: Tensor, reverse: float) -> Tensor:
    """What the logits [..., V] of the student are moved against, from log-probabilities.

    `reverse` mixes two directions of the Kullback-Leibler divergence: 0 covers all that the teacher does, 1 prefers
    what it does most.
    """
    critic, apart = critic_V.exp(), critic_V - teacher_V
    forward = critic - teacher_V.exp()
    backward = critic * (apart - (critic * apart).sum(-1, keepdim=True))
    return (1 - reverse) * forward + reverse * backward


def surrogate_loss(logits_V: Tensor, gradient_V: Tensor) -> Tensor:
    """A loss [...] whose gradient with respect to the logits is `gradient_V`."""
    return (logits_V * gradient_V.detach()).sum(-1)


def divergence(one_V: Tensor, other_V: Tensor) -> Tensor:
    """The Kullback-Leibler divergence [...] of log-probabilities."""
    return (one_V.exp() * (one_V - other_V)).sum(-1)


def revealed_by_step(ranks_N: Tensor, masked: tuple[int, ...]) -> list[Tensor]:
    """bool [N] for each step: the tokens that it reveals, the lowest ranks first; `masked` are left after each step."""
    tokens, parts, before = len(ranks_N), [], 0
    for left in masked:
        parts.append((ranks_N >= before) & (ranks_N < tokens - left))
        before = tokens - left
    return parts


def share_of_steps_done(masked_BT: Tensor) -> Tensor:
    """Of a frame with this share of masked tokens, how far a sampler with the cosine schedule is: 0 .. 1."""
    return torch.acos(masked_BT.clamp(0, 1)) * (2 / torch.pi)
