"""What goes wrong in stage one and what to do about it: each alarm looks at a few numbers and speaks, or returns None.

They remember nothing. Early in training some of them are right for a while: the caller waits until one has held on.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenizer.quantize.usage import table_sizes

RANGE_MARGIN = 1e-3
LEAST_VARIANCE = 0.05  # of the clips' own
MOST_ACCURATE = 0.98  # share of patches; above it the discriminator's gradient says little
LEAST_PERPLEXITY = 0.02  # of what so many tokens could reach


@torch.no_grad()
def variance_within_frames(clip_BCTHW: Tensor) -> Tensor:
    """The variance over positions, averaged over frames and channels, a scalar; the right flat colour has none."""
    return clip_BCTHW.float().flatten(3).var(-1, correction=0).mean()


@torch.no_grad()
def share_out_of_range(clip: Tensor) -> Tensor:
    """The share of values outside [-1, 1], NaN among them: a scalar whose mean over batches hides none of them."""
    return 1 - (clip.abs() <= 1 + RANGE_MARGIN).float().mean()


def input_out_of_range(share: float) -> str | None:
    """`share` is `share_out_of_range`, averaged over any number of batches."""
    if share <= 0:
        return None
    return (
        f"{share:.2%} of the values in clips lie outside [-1, 1]; check how they are scaled: "
        "bytes are divided by 127.5, less 1"
    )


def flat_reconstructions(variance: float, clip_variance: float) -> str | None:
    """Both as `variance_within_frames` gives them, of the reconstructions and of the clips."""
    if variance >= LEAST_VARIANCE * clip_variance:
        return None
    return (
        f"reconstructions are nearly flat: their variance is {variance:.2g}, that of the clips {clip_variance:.2g}; "
        "if it does not rise, lower the learning rate or the quantizer's and the adversarial weights"
    )


def discriminator_dominates(accuracy: float) -> str | None:
    """`accuracy` is the share of patches judged right, averaged over many steps."""
    if accuracy <= MOST_ACCURATE:
        return None
    return (
        f"the discriminator tells {accuracy:.1%} of the patches apart, so it teaches the tokenizer little; "
        "lower its learning rate or widths, raise lecam_weight, or let it begin later (start_step)"
    )


def codes_collapse(perplexity: float, tokens: int, codebooks: Sequence[int]) -> str | None:
    """`perplexity` of so many tokens, as `tokenizer.quantize.batch_perplexity` counts it."""
    sizes = table_sizes(codebooks)
    reachable = sum(min(tokens, size) for size in sizes) / max(1, len(sizes))
    if reachable < 2 or perplexity >= max(1.5, LEAST_PERPLEXITY * reachable):
        return None
    return (
        f"the codes collapse: {tokens} tokens are as diverse as {perplexity:.1f} codes of {sum(sizes)}; "
        "raise the weight of the quantizer's entropy term, lower the learning rate, or choose FSQ, which needs none"
    )
