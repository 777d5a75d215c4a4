"""What a tokenizer is: as figures for programs, and in words."""

import math
from dataclasses import asdict
from typing import Any

from torch import nn

from tokenizer.quantize import FSQConfig, QuantizerConfig
from videogen.models import TokenizerModel


def describe_tokenizer(model: TokenizerModel) -> dict[str, Any]:
    """Plain figures."""
    config, clips, network = model.config, model.clips, model.network
    spec = network.spec(clips.height, clips.width)
    side, pixels_per_token = network.size_multiple, clips.height * clips.width / spec.tokens
    return {
        "folder": str(model.path),
        "clips": asdict(clips),
        "f_s": side,
        "f_t": spec.frames_per_latent,
        "codes": math.prod(spec.codebooks),
        "quantizer": asdict(config.quantizer),
        "bits_per_token": spec.bits,
        "bits_per_pixel": spec.bits / (spec.frames_per_latent * pixels_per_token),
        "grid": list(spec.groups[0].shape),
        "latent_frames_per_second": clips.fps / spec.frames_per_latent,
        "parameters": {
            "tokenizer": count_parameters(network),
            "encoder": count_parameters(network.encoder),
            "decoder": count_parameters(network.decoder),
        },
        "fingerprint": model.fingerprint,
    }


def format_tokenizer(model: TokenizerModel) -> dict[str, str]:
    """The same, in the order in which a person asks for it."""
    figures, clips = describe_tokenizer(model), model.clips
    height, width = figures["grid"]
    parameters = figures["parameters"]
    opening = " in the long run; the first latent frame of a clip holds one picture" if figures["f_t"] > 1 else ""
    return {
        "folder": figures["folder"],
        "trained on": f"{clips.frames} frames of {clips.height} x {clips.width} at {clips.fps:g} a second",
        "compression": f"{figures['f_s']} x {figures['f_s']} in space, {figures['f_t']} in time",
        "codes": f"{figures['codes']:,}",
        "quantizer": format_quantizer(model.config.quantizer),
        "bits a token": f"{figures['bits_per_token']:.3f}",
        "bits a pixel": f"{figures['bits_per_pixel']:.5f}{opening}",
        "tokens a latent frame": f"{height * width} ({height} x {width})",
        "latent frames a second": f"{figures['latent_frames_per_second']:g}",
        "parameters": f"{parameters['tokenizer']:,}",
        "of the encoder": f"{parameters['encoder']:,}",
        "of the decoder": f"{parameters['decoder']:,}",
        "fingerprint": figures["fingerprint"],
    }


def format_quantizer(config: QuantizerConfig) -> str:
    if isinstance(config, FSQConfig):
        return f"FSQ of levels {' x '.join(map(str, config.levels))}"
    return f"{config.kind.upper()} of {config.bits} bits"


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
