"""Small published files of measures, and folders that the command makes of them."""

from pathlib import Path

import torch

from tests.conditioning.encoders import SPECIAL, WORDS, tokenizer
from tests.measures.weights import random_state, save
from tests.tokenizer.losses.random_lpips import random_lpips
from videogen.cli import main
from videogen.models.measures.i3d import I3D
from videogen.models.measures.transnet import TransNet


def alexnet_files(folder: Path, suffix: str = ".safetensors") -> tuple[Path, Path]:
    """The backbone with its classifier, and the heads, as they are published."""
    weights = random_lpips("alex")
    heads = {name: tensor for name, tensor in weights.items() if name.startswith("lin")}
    backbone = {name: tensor for name, tensor in weights.items() if name not in heads}
    backbone["classifier.1.weight"] = torch.full((4, 4), torch.nan)
    return save(folder / f"alexnet-owt{suffix}", backbone), save(folder / f"alex{suffix}", heads)


def lpips_folder(folder: Path) -> Path:
    backbone, heads = alexnet_files(folder)
    return converted("lpips", backbone, folder / "lpips", f"heads={heads}")


def i3d_folder(folder: Path) -> Path:
    return converted("i3d", save(folder / "i3d_pretrained_400.safetensors", random_state(I3D())), folder / "i3d")


def transnet_folder(folder: Path) -> Path:
    weights = {**random_state(TransNet()), "fc1.weight": torch.ones(2, 2)}
    return converted("transnet", save(folder / "transnetv2.safetensors", weights), folder / "transnet")


def converted(kind: str, source: Path, out: Path, *options: str) -> Path:
    assert main(["convert", kind, str(source), str(out), *options, "--quiet"]) == 0
    return out


def tiny_clip(folder: Path) -> Path:
    """A CLIP as `transformers` saves it."""
    from transformers import CLIPConfig, CLIPModel

    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    text = {"vocab_size": len(SPECIAL) + len(WORDS), "max_position_embeddings": 12, **shape, **ends}
    vision = {"image_size": 16, "patch_size": 8, **shape}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
