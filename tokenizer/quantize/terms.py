"""Terms that keep a codebook alive, by name: each has a weight, 0 unless a configuration sets it.

Nothing of size N x V or V x V is kept, and only repulsion and the terms of soft assignments compute it, in blocks.

    sample_entropy, batch_entropy   Yu et al., "Language Model Beats Diffusion" (2023)
    kl_to_uniform                   Ramesh et al., "Zero-Shot Text-to-Image Generation" (2021)
    orthogonality_normalized        Shin et al., "Translation-equivariant Image Quantizer" (2021)
    repulsion                       after Wang & Isola, "Understanding Contrastive Representation Learning" (2020)
    contrastive                     van den Oord et al., "Contrastive Predictive Coding" (2018)
    variance_hinge, covariance      Bardes et al., "VICReg" (2021)

Legend: N tokens, D dimensions, V codes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenizer.quantize.assignment import moments

REPELLING = 4096  # codes that push all others away at a step


@dataclass(frozen=True)
class Terms:
    """The weights of the terms, and the temperature of the soft assignments that some of them are about."""

    temperature: float = 1.0  # a token's probabilities of codes are softmax(-squared distance / temperature)
    sample_entropy: float = 0.0  # of a token's probabilities: low makes each assignment certain
    batch_entropy: float = 0.0  # of their mean over a batch, maximized: a batch uses all codes
    kl_to_uniform: float = 0.0  # of a token's probabilities, as in a variational autoencoder
    norm: float = 0.0  # squared distance of each code's norm from 1
    repulsion: float = 0.0  # codes push their neighbors away, those that are nearer than the temperature's root
    orthogonality: float = 0.0  # squared products of different codes
    orthogonality_normalized: float = 0.0  # the same of codes scaled to norm 1
    variance_hinge: float = 0.0  # how far each channel's deviation over a batch is below 1
    contrastive: float = 0.0  # a latent tells its own code from all others
    covariance: float = 0.0  # squared covariances of different channels over a batch

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(f"{field.name} = {getattr(self, field.name):g} must not be negative")
        if self.temperature == 0:
            raise ValueError("temperature = 0 must be positive")


def check_terms_of_codes(terms: Terms | None, learning: str) -> None:
    """ValueError for terms of the codes alone, where no gradient moves codes."""
    given = [name for name in ("repulsion", *OF_CODES) if terms is not None and getattr(terms, name)]
    if given:
        raise ValueError(f"terms has {', '.join(given)}, which moves codes by gradient; learning: {learning} does not")


def term_losses(terms: Terms | None, latents_ND: Tensor, codebook_VD: Tensor, codes_N: Tensor) -> dict[str, Tensor]:
    """The weighted terms by name, of those whose weight is not 0; the others are not computed, without terms none.

    Latents [N.., D] are projected to where the codebook lies. The batch entropy is negative, because it is maximized.
    """
    if terms is None:
        return {}
    latents_ND, codes_N = latents_ND.flatten(0, -2), codes_N.flatten()
    codebook_VD = codebook_VD.to(latents_ND.dtype)
    losses = _assignment_terms(terms, latents_ND, codebook_VD, codes_N)
    if terms.repulsion:
        losses["repulsion"] = terms.repulsion * repulsion(codebook_VD, terms.temperature)
    for of, values in ((OF_CODES, codebook_VD), (OF_LATENTS, latents_ND)):
        losses |= {name: getattr(terms, name) * term(values) for name, term in of.items() if getattr(terms, name)}
    return losses


def _assignment_terms(terms: Terms, latents_ND: Tensor, codebook_VD: Tensor, codes_N: Tensor) -> dict[str, Tensor]:
    """The terms of soft assignments, of one pass over all tokens and codes."""
    if not (terms.sample_entropy or terms.batch_entropy or terms.kl_to_uniform or terms.contrastive):
        return {}
    soft = moments(latents_ND, codebook_VD, terms.temperature)
    values: dict[str, Callable[[], Tensor]] = {
        "sample_entropy": lambda: soft.entropy,
        "batch_entropy": lambda: -entropy(soft.mean_V),
        "kl_to_uniform": lambda: math.log(len(codebook_VD)) - soft.entropy,
        "contrastive": lambda: (
            soft.logsumexp + squared_distances(latents_ND, F.embedding(codes_N, codebook_VD)).mean() / terms.temperature
        ),
    }
    return {name: getattr(terms, name) * value() for name, value in values.items() if getattr(terms, name)}


def entropy(p_V: Tensor) -> Tensor:
    """In nats; its gradient is finite where a probability is 0."""
    return -(p_V * p_V.clamp_min(torch.finfo(p_V.dtype).tiny).log()).sum()


def squared_distances(left_ND: Tensor, right_ND: Tensor) -> Tensor:
    return (left_ND - right_ND).square().sum(-1)


def repulsion(codebook_VD: Tensor, temperature: float) -> Tensor:
    """The mean over codes of log sum_v exp(-squared distance to code v / temperature), its own distance 0 included.

    It is 0 where codes are far apart and log V where all are the same. Of more than 4,096 codes, a random run of
    4,096 neighbors in number pushes all others: the same on average, because each code is as likely to be in it.
    """
    pushing_MD = codebook_VD
    if len(codebook_VD) > REPELLING:
        start = torch.randint(len(codebook_VD), (), device=codebook_VD.device)
        run_M = (start + torch.arange(REPELLING, device=codebook_VD.device)) % len(codebook_VD)
        pushing_MD = F.embedding(run_M, codebook_VD)
    logsumexp: Tensor = moments(pushing_MD, codebook_VD, temperature).logsumexp
    return logsumexp


def norm(codebook_VD: Tensor) -> Tensor:
    """The mean squared distance of the codes' norms from 1."""
    norms_V: Tensor = torch.linalg.vector_norm(codebook_VD, dim=-1)
    return (norms_V - 1).square().mean()


def orthogonality(codebook_VD: Tensor) -> Tensor:
    """The mean squared product of two different codes.

    The V x V products have the same sum of squares as the D x D ones: |C C^T|^2 = trace(C C^T C C^T) = |C^T C|^2.
    """
    squares_of_all = (codebook_VD.T @ codebook_VD).square().sum()
    squares_of_own = codebook_VD.square().sum(-1).square().sum()
    return (squares_of_all - squares_of_own) / (len(codebook_VD) * (len(codebook_VD) - 1))


def orthogonality_normalized(codebook_VD: Tensor) -> Tensor:
    """The mean squared cosine of the angle between two different codes."""
    return orthogonality(F.normalize(codebook_VD, dim=-1))


def variance_hinge(latents_ND: Tensor) -> Tensor:
    """The mean over channels of how far the deviation over a batch is below 1."""
    deviation_D = (latents_ND.var(0, correction=0) + 1e-4).sqrt()  # a slope that stays finite where nothing varies
    return (1 - deviation_D).relu().mean()


def covariance(latents_ND: Tensor) -> Tensor:
    """The sum of squared covariances of different channels, divided by the number of channels."""
    centered_ND = latents_ND - latents_ND.mean(0)
    covariance_DD = centered_ND.T @ centered_ND / len(latents_ND)
    squares_of_own = covariance_DD.diagonal().square().sum()
    return (covariance_DD.square().sum() - squares_of_own) / latents_ND.shape[-1]


OF_CODES: dict[str, Callable[[Tensor], Tensor]] = {
    "norm": norm,
    "orthogonality": orthogonality,
    "orthogonality_normalized": orthogonality_normalized,
}
OF_LATENTS: dict[str, Callable[[Tensor], Tensor]] = {"variance_hinge": variance_hinge, "covariance": covariance}
