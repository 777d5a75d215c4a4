"""The perceptual loss that a configuration names, with its weights where it has any."""

from pathlib import Path

from tokenizer.losses.lpips import LPIPS, LPIPSConfig
from tokenizer.losses.perceptual import (
    MultiscaleStructure,
    MultiscaleStructureConfig,
    PerceptualLoss,
)
from videogen.errors import CheckpointError


def load_perceptual(config: MultiscaleStructureConfig | LPIPSConfig | None) -> PerceptualLoss | None:
    """LPIPS, on the CPU, reads the safetensors file that the user names; the loss by structure needs nothing."""
    if config is None:
        return None
    if isinstance(config, MultiscaleStructureConfig):
        return MultiscaleStructure(config)
    return load_lpips(Path(config.weights).expanduser(), config.frames)


def load_lpips(path: Path, frames: int | None = None) -> LPIPS:
    """CheckpointError if the file is not there or holds other tensors."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; LPIPS needs VGG16's weights and its own heads as safetensors")
    try:
        return LPIPS(load_file(path), frames)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from None
