"""The perceptual loss that a configuration names, with its weights where it has any."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizer.losses.lpips import LPIPS, LPIPSConfig
from tokenizer.losses.perceptual import MultiscaleStructure, MultiscaleStructureConfig, PerceptualLoss
from videogen.errors import CheckpointError, UsageError
from videogen.models.measures.folder import open_measure

if TYPE_CHECKING:
    from torch import Tensor


def load_perceptual(
    config: MultiscaleStructureConfig | LPIPSConfig | None, smallest_side: int
) -> PerceptualLoss | None:
    """LPIPS, on the CPU, reads the folder that the user names; the loss by structure needs nothing.

    UsageError if the smallest frames that it will compare are too small for the network in the folder.
    """
    if config is None:
        return None
    if isinstance(config, MultiscaleStructureConfig):
        return MultiscaleStructure(config)
    lpips = load_lpips(Path(config.weights).expanduser(), config.frames)
    if smallest_side < lpips.backbone.smallest:
        raise UsageError(
            f"loss.perceptual names {config.weights}, LPIPS on {lpips.variant}, which needs frames of at least "
            f"{lpips.backbone.smallest} pixels; phases have {smallest_side}"
        )
    return lpips


def load_lpips(path: Path, frames: int | None = None) -> LPIPS:
    """From a folder of `videogen convert lpips`, or a safetensors file with the same tensors.

    CheckpointError if it is not there or holds other tensors.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such folder; `videogen convert lpips SOURCE OUT heads=FILE` makes one")
    weights = open_measure(path, "lpips").weights() if path.is_dir() else _weights_of(path)
    try:
        return LPIPS(weights, frames)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _weights_of(file: Path) -> "Mapping[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{file}: {error}") from None
