"""Tokens of a latent frame as text."""

import math

from interfaces.tokens import TokenSpec


def format_groups(spec: TokenSpec) -> str:
    """For example `8 x 8`, or `4 x 4, then 8 x 8`."""
    return ", then ".join(" x ".join(map(str, group.shape)) for group in spec.groups)


def format_codes(spec: TokenSpec) -> str:
    """The number of different tokens, and the codebooks; how many numbers a continuous token has."""
    if spec.channels is not None:
        return f"continuous, {spec.channels} numbers a token"
    sizes = f" ({' x '.join(map(str, spec.codebooks))})" if spec.depth > 1 else ""
    return f"{math.prod(spec.codebooks):,} codes{sizes}"
