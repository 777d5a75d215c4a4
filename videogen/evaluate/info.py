"""What a tokenizer is, in words and numbers."""

import math
from typing import Any

from torch import nn

from videogen.models import TokenizerModel


def describe_tokenizer(model: TokenizerModel) -> dict[str, Any]:
    """Plain figures, in the order in which a person asks for them."""
    config, made, network = model.config, model.made_for, model.network
    bits = math.log2(network.quantizer.size)
    grid = made.height // config.f_s, made.width // config.f_s
    return {
        "folder": str(model.path),
        "made for": f"{made.frames} frames of {made.height} x {made.width} at {made.fps:g} a second (others work too)",
        "compression": f"{config.f_s} x {config.f_s} in space, {config.f_t} in time",
        "codes": network.quantizer.size,
        "quantizer": str(config.quantizer),
        "bits a token": round(bits, 3),
        "bits a pixel": round(bits / (config.f_t * config.f_s**2), 5),
        "tokens a latent frame": f"{grid[0] * grid[1]} ({grid[0]} x {grid[1]})",
        "latent frames a second": round(made.fps / config.f_t, 3),
        "parameters": _count(network),
        "of the encoder": _count(network.encoder),
        "of the decoder": _count(network.decoder),
        "fingerprint": model.fingerprint,
    }


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
