"""A frozen vision model from a folder, read by `transformers`: no downloads, no pickles, no code from the folder."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tokenizer.losses.alignment import AlignmentConfig
from videogen.conditioning.loading import UNUSED, quiet
from videogen.errors import CheckpointError, UsageError

PREPROCESSOR = "preprocessor_config.json"
DEFAULT_SIZE = 224  # of models whose files name no size


class VisionModel:
    """One hidden state of a vision transformer, or of a convolutional network, as features [N, h, w, F].

    Frames are resized to the square that the model expects, and normalized as its `preprocessor_config.json` says;
    without that file pixels stay in [-1, 1].
    """

    def __init__(self, network: Any, layer: int, preprocessor: dict[str, Any]):
        self.network, self.layer = network, layer
        self.size = image_size(network.config, preprocessor)
        normalized = preprocessor.get("do_normalize", True)
        self.mean = torch.tensor(preprocessor.get("image_mean", [0.5] * 3) if normalized else [0.0] * 3)
        self.deviation = torch.tensor(preprocessor.get("image_std", [0.5] * 3) if normalized else [1.0] * 3)
        self.width = self(torch.zeros(1, 3, self.size, self.size)).shape[-1]

    @torch.no_grad()
    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        device = frames_NCHW.device
        self.network.to(device)
        resized = F.interpolate(frames_NCHW, (self.size, self.size), mode="bilinear", antialias=True)
        mean, deviation = (part.to(device)[:, None, None] for part in (self.mean, self.deviation))
        output = self.network(pixel_values=((resized + 1) / 2 - mean) / deviation, output_hidden_states=True)
        return as_grid(output.hidden_states[self.layer])


def as_grid(hidden: Tensor) -> Tensor:
    """Maps [N, F, h, w], or tokens [N, L, F] that begin with a class token and registers, as [N, h, w, F]."""
    if hidden.ndim == 4:
        return hidden.permute(0, 2, 3, 1)
    side = math.isqrt(hidden.shape[1])
    return torch.unflatten(hidden[:, -side * side :], 1, (side, side))


def image_size(config: Any, preprocessor: dict[str, Any]) -> int:
    """The side of the square that the preprocessor crops or scales to, or else that of the model's configuration."""
    for name in ("crop_size", "size"):
        value = preprocessor.get(name)
        side = value.get("height") if isinstance(value, dict) else value
        if isinstance(side, int):
            return side
    stated: int | list[int] = getattr(config, "image_size", DEFAULT_SIZE)
    return stated if isinstance(stated, int) else max(stated)


def load_vision(config: AlignmentConfig | None) -> VisionModel | None:
    """On the CPU in float32; None without a folder, UsageError if the folder has no vision model to use."""
    if config is None or config.folder is None:
        return None
    folder = config.folder.expanduser()
    if not folder.is_dir():
        raise UsageError(f"loss.alignment.folder is {folder}: no such folder; it must hold a vision model")
    try:
        network, preprocessor = load_network(folder), read_preprocessor(folder / PREPROCESSOR)
    except CheckpointError as error:
        raise UsageError(f"loss.alignment.folder is {error}") from None
    try:
        return VisionModel(network, config.layer, preprocessor)
    except IndexError:
        raise UsageError(f"loss.alignment.layer is {config.layer}; {folder} has fewer hidden states") from None
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"loss.alignment.folder is {folder}: not a vision model ({reason})") from None


def load_network(folder: Path) -> Any:
    """The network that sees, frozen; of one that also reads, as CLIP, its vision part. torch's random state stays."""
    from transformers import AutoModel

    with quiet(folder), torch.random.fork_rng(devices=[]):
        network, report = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise CheckpointError(f"{folder}: {len(missing)} tensors are missing from its weights, such as {missing[0]}")
    return getattr(network, "vision_model", network).eval().requires_grad_(False)


def read_preprocessor(file: Path) -> dict[str, Any]:
    """Empty if there is no such file."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{file}: must hold a JSON object")
    return found
