"""CLIP as a folder that `transformers` reads: weights as safetensors, its configuration and its tokenizer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from videogen.checkpoint_reader import read_checkpoint
from videogen.conditioning.loading import load_tokenizer, quiet
from videogen.errors import CheckpointError
from videogen.models.measures.base import MeasureKind, PublicMeasure, check_options, tensors_of

CONFIG = "config.json"
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("vocab.json", "merges.txt", "added_tokens.json"),
)


def read_clip(source: Path, options: Mapping[str, str]) -> PublicMeasure:
    """SOURCE is a folder in the format of `transformers`, with weights of any kind."""
    check_options(options)
    if not source.is_dir():
        raise ValueError("SOURCE must be a folder with config.json, the weights and the files of the tokenizer")
    config = read_config(source / CONFIG)
    checkpoint = read_checkpoint(source)
    load_tokenizer(source)  # an error of one line for a folder without one
    tokenizer = {name: source / name for name in TOKENIZER if (source / name).is_file()}
    network = tensors_of(clip_network(config, source))
    return PublicMeasure(variant_of(config), checkpoint, network, {CONFIG: config, **tokenizer})


def read_config(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("model_type") != "clip":
        raise CheckpointError(f"{place}: not the configuration of a CLIP")
    return found


def clip_network(config: dict[str, Any], folder: Path) -> Any:
    """Its tensors have names and shapes, and no memory."""
    from transformers import CLIPConfig, CLIPModel

    with quiet(folder), torch.device("meta"):
        return CLIPModel(CLIPConfig.from_dict(config))


def variant_of(config: dict[str, Any]) -> str:
    vision = config.get("vision_config") or {}
    return f"patch {vision.get('patch_size', '?')}, {vision.get('image_size', '?')} pixels"


CLIP = MeasureKind(
    source="a CLIP in the format of transformers, such as https://huggingface.co/openai/clip-vit-large-patch14",
    licence="that of the folder; OpenAI's weights: MIT",
    ignored=("position_ids",),
    read=read_clip,
)
