"""Description of a tokenizer: figures for programs, and lines for people."""

import math
from dataclasses import asdict
from typing import Any

from torch import Tensor

from videogen.evaluation.info.decoding import decoding_cost
from videogen.evaluation.info.spec import format_codes, format_groups
from videogen.models import TokenizerModel, count_parameters


def describe_tokenizer(model: TokenizerModel) -> dict[str, Any]:
    """JSON types."""
    clips, spec = model.clips, model.spec
    pixels = spec.frames_per_latent * clips.height * clips.width
    return {
        "folder": str(model.path),
        "kind": model.described["kind"],
        "clips": asdict(clips),
        "spec": asdict(spec),
        "network": dict(model.described["network"]),
        "layout": getattr(getattr(model.config, "layout", None), "kind", None),
        "codes": None if spec.continuous else math.prod(spec.codebooks),
        "bits_per_token": None if spec.continuous else spec.bits,
        "bits_per_pixel": None if spec.continuous else spec.bits * spec.tokens / pixels,
        "latent_frames_per_second": clips.fps / spec.frames_per_latent,
        "parameters": {
            "tokenizer": count_parameters(model.network),
            "encoder": sum(map(Tensor.numel, model.parameters_of("encoder"))),
            "decoder": sum(map(Tensor.numel, model.parameters_of("decoder"))),
            "layout": sum(map(Tensor.numel, model.parameters_of("layout"))),
        },
        "bytes_of_weights": 4 * count_parameters(model.network),
        "decoding": None if (cost := decoding_cost(model)) is None else asdict(cost),
        "fingerprint": model.fingerprint,
    }


def format_tokenizer(model: TokenizerModel, data: dict[str, Any] | None = None) -> dict[str, str]:
    """The lines of `videogen info` for a tokenizer; `data` is what `describe_tokenizer` found, if it was asked."""
    data, clips, spec = describe_tokenizer(model) if data is None else data, model.clips, model.spec
    parameters, quantizer = data["parameters"], getattr(model.config, "quantizer", None)
    first = "" if spec.first_frames == spec.frames_per_latent else f"; the first latent frame holds {spec.first_frames}"
    return {
        "folder": data["folder"],
        "kind": data["kind"],
        **({} if data["layout"] in (None, "grid") else {"layout": data["layout"]}),
        "trained on": f"{clips.frames} frames of {clips.height} x {clips.width} at {clips.fps:g} a second",
        "frames per latent frame": f"{spec.frames_per_latent}{first}",
        "codes": format_codes(spec),
        **({} if quantizer is None else {"quantizer": str(quantizer)}),
        **({} if spec.continuous else format_bits(data, first)),
        **({} if model.conditioner is None else {"the decoder is given": describe_condition(model)}),
        "tokens per latent frame": f"{spec.tokens} ({format_groups(spec)})",
        "latent frames per second": f"{data['latent_frames_per_second']:g}",
        "parameters": f"{parameters['tokenizer']:,}",
        "of the encoder": f"{parameters['encoder']:,}",
        "of the decoder": f"{parameters['decoder']:,}",
        **({"of the layout": f"{parameters['layout']:,}"} if parameters["layout"] else {}),
        **format_cost(data),
        "fingerprint": data["fingerprint"],
    }


def format_cost(data: dict[str, Any]) -> dict[str, str]:
    """Memory and arithmetic of a stream; of a tokenizer that takes whole clips, the weights alone."""
    weights, decoding = f"{data['bytes_of_weights'] / 2**20:.1f} MiB of weights in float32", data["decoding"]
    if decoding is None:
        return {"memory": weights}
    clips = data["clips"]
    return {
        "memory": f"{weights}, {decoding['bytes'] / 2**20:.1f} MiB beside them to decode a stream of "
        f"{clips['height']} x {clips['width']}",
        "to decode a latent frame": f"{decoding['operations'] / 1e9:.3g} GFLOP",
    }


def describe_condition(model: TokenizerModel) -> str:
    assert model.conditioner is not None
    return f"{model.conditioner.length} tokens of a caption, by {model.config.condition.kind}"


def format_bits(data: dict[str, Any], first: str) -> dict[str, str]:
    per_pixel = f"{data['bits_per_pixel']:.5f}"
    if first:
        per_pixel += f" in a long video, more in a short one{first}"
    return {"bits per token": f"{data['bits_per_token']:.3f}", "bits per pixel": per_pixel}
