"""Tiny vision models with random weights, saved as `transformers` saves them."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import Dinov2Config, Dinov2Model, ResNetConfig, ResNetModel, ViTConfig, ViTModel

SHAPE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def vision_model(family: str, seed: int = 0, **shape: Any) -> Any:
    """Of 16 x 16 pixels, in 2 x 2 patches; a ResNet's last maps have 2 x 2 places too."""
    shape = {**SHAPE, "image_size": 16, "patch_size": 8, **shape}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "resnet":
            sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
            return ResNetModel(ResNetConfig(**sizes, image_size=16))
        if family == "dinov2":
            return Dinov2Model(Dinov2Config(**shape, mlp_ratio=2))
        return ViTModel(ViTConfig(**shape, intermediate_size=2 * shape["hidden_size"]))


def save_vision(folder: Path, family: str = "vit", preprocessor: dict[str, Any] | None = None, **shape: Any) -> Path:
    vision_model(family, **shape).save_pretrained(folder)
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder
