"""Warnings for tokenizer training: each function returns a message for a person, or None.

The functions keep no state. Early in training some messages are true for a while, so the caller waits until one lasts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizer.quantize.usage import table_sizes

RANGE_MARGIN = 1e-3
LEAST_VARIANCE = 0.05  # as a share of the variance of the clips
MOST_ACCURATE = 0.98  # share of patches; above it the discriminator's gradient carries little information
LEAST_PERPLEXITY = 0.02  # as a share of the largest perplexity that so many tokens can have


@torch.no_grad()
def within_frame_variance(clip_BCTHW: Tensor) -> Tensor:
    """Variance over positions, averaged over frames and channels: a scalar, 0 for frames of one color."""
    return clip_BCTHW.float().flatten(3).var(-1, correction=0).mean()


@torch.no_grad()
def share_out_of_range(clip: Tensor) -> Tensor:
    """Share of values outside [-1, 1] or NaN, as a scalar; its mean over batches is above 0 where any of them is."""
    return 1 - (clip.abs() <= 1 + RANGE_MARGIN).float().mean()


def input_out_of_range(share: float) -> str | None:
    """`share` is the mean of `share_out_of_range` over any number of batches."""
    if share <= 0:
        return None
    return (
        f"{share:.2%} of the values in clips lie outside [-1, 1]; check their scale: "
        "divide bytes by 127.5 and subtract 1"
    )


def flat_reconstructions(variance: float, clip_variance: float) -> str | None:
    """`within_frame_variance` of the reconstructions and of the clips."""
    if variance >= LEAST_VARIANCE * clip_variance:
        return None
    return (
        f"reconstructions are nearly flat: their variance is {variance:.2g}, that of the clips is {clip_variance:.2g}; "
        "if it does not rise, lower the learning rate, the quantizer's weights or the adversarial weight"
    )


def discriminator_dominates(accuracy: float) -> str | None:
    """`accuracy` is the share of patches that are classified correctly, averaged over many steps."""
    if accuracy <= MOST_ACCURATE:
        return None
    return (
        f"the discriminator classifies {accuracy:.1%} of the patches correctly, so the tokenizer learns little; "
        "lower its learning rate or widths, raise lecam_weight, or start it later (start_step)"
    )


def codes_collapse(perplexity: float, tokens: int, codebooks: Sequence[int]) -> str | None:
    """`perplexity` of so many tokens, as `tokenizer.quantize.batch_perplexity` counts it."""
    sizes = table_sizes(codebooks)
    reachable = sum(min(tokens, size) for size in sizes) / max(1, len(sizes))
    if reachable < 2 or perplexity >= max(1.5, LEAST_PERPLEXITY * reachable):
        return None
    return (
        f"the codes collapse: {tokens} tokens are as diverse as {perplexity:.1f} codes of {sum(sizes)}; "
        "raise the weight of the quantizer's entropy term, lower the learning rate, or use FSQ, which needs none"
    )


def first_codes_missing(looking: bool) -> str | None:
    """Whether a learned codebook still looks for its first codes (`Quantizer.looks_for_codes`)."""
    if not looking:
        return None
    return (
        "the codebook is still random: its first codes wait for more latents; lower the quantizer's first_samples, or "
        "take first: random"
    )
