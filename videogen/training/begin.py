"""The weights a prior's run begins with: drawn anew, those of another prior, or the blocks of a Llama."""

from pathlib import Path

from torch import Tensor

from prior.llama import blocks_from_llama
from prior.model import LlamaPrior
from videogen.errors import CheckpointError, UsageError
from videogen.models import load_prior
from videogen.training.prior_config import PriorTrainingConfig


def first_weights(network: LlamaPrior, config: PriorTrainingConfig) -> None:
    if config.begin_with is not None:
        take_over(network, config.begin_with)
    if config.init_from is not None:
        tensors = llama_tensors(config.init_from)
        try:
            network.load_state_dict(blocks_from_llama(tensors, network.config), strict=False)
        except ValueError as error:
            raise UsageError(f"init_from names {config.init_from}: {error}") from None


def take_over(network: LlamaPrior, path: Path) -> None:
    """Every weight of another prior, of either objective; UsageError where one does not fit."""
    model, own = load_prior(path), dict(network.state_dict())
    others = dict(model.network.state_dict())
    for name in sorted(own.keys() | others.keys()):
        there, here = others.get(name), own.get(name)
        if there is None or here is None or there.shape != here.shape:
            shapes = " and ".join("none" if each is None else str(list(each.shape)) for each in (there, here))
            raise UsageError(f"begin_with names {path}, whose {name} does not fit this configuration ({shapes} here)")
    network.load_state_dict(others)


def llama_tensors(path: Path) -> dict[str, Tensor]:
    """Of a checkpoint in safetensors: one file, or a folder with one or more."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] if path.suffix == ".safetensors" else []
    if not files:
        raise UsageError(f"init_from names {path}; expected a .safetensors file or a folder with some")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file}: not a safetensors file ({error})") from None
    return tensors
