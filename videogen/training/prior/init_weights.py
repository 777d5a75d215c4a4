"""The initial weights of a prior: random, those of another prior, or the blocks of a Llama."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from prior.config import PriorConfig
from prior.llama import blocks_from_llama
from prior.network import PriorNetwork
from videogen.errors import CheckpointError, UsageError
from videogen.models import INDEX, PriorModel, load_prior
from videogen.training.loop.stage import naming_init_from
from videogen.training.prior.config import PriorTrainingConfig

MASK_NOISE = "embedding.mask_noise.weight"
CAPTIONS = "captions."  # the prefix of those weights


def init_weights(network: PriorNetwork, config: PriorTrainingConfig) -> Callable[[], Mapping[str, Tensor]] | None:
    """A function that loads all initial weights; None if they are random. Only a run that begins calls it."""
    if config.init_from is not None:
        path = config.init_from
        return lambda: weights_of_prior(network, open_prior(path))
    if config.init_from_llama is not None:
        checkpoint = config.init_from_llama
        return lambda: with_llama_blocks(network, checkpoint)
    return None


def open_prior(path: Path) -> PriorModel:
    if path.suffix == ".safetensors" or (any(path.glob("*.safetensors")) and not (path / INDEX).is_file()):
        raise UsageError(f"init_from names {path}; a Llama checkpoint is given as init_from_llama={path}")
    with naming_init_from():
        return load_prior(path)


def weights_of_prior(network: PriorNetwork, model: PriorModel) -> dict[str, Tensor]:
    """The weights of another prior, of either objective; UsageError if one has another shape.

    From a prior without captions, what captions need besides stays random.
    """
    path, own, others = model.path, dict(network.state_dict()), dict(model.network.state_dict())
    if MASK_NOISE in own and MASK_NOISE not in others:
        others[MASK_NOISE] = own[MASK_NOISE]  # a student is given random numbers that its teacher does without
    if not model.writes_captions:
        others |= {name: weights for name, weights in own.items() if name.startswith(CAPTIONS)}
    for name in sorted(own.keys() | others.keys()):
        there, here = others.get(name), own.get(name)
        if there is None or here is None or there.shape != here.shape:
            shapes = " and ".join("none" if each is None else str(list(each.shape)) for each in (there, here))
            raise UsageError(f"init_from names {path}, whose {name} does not fit this configuration ({shapes} here)")
    return others


def with_llama_blocks(network: PriorNetwork, path: Path) -> dict[str, Tensor]:
    """The network's own weights, with the blocks of a Llama; UsageError if they do not fit."""
    if not isinstance(network.config, PriorConfig):
        raise UsageError(f"init_from_llama names {path}; a prior of kind {network.config.kind} has no such blocks")
    try:
        return {**network.state_dict(), **blocks_from_llama(llama_tensors(path), network.config)}
    except ValueError as error:
        raise UsageError(f"init_from_llama names {path}: {error}") from None


def llama_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors checkpoint: one file, or all files of a folder."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] if path.suffix == ".safetensors" else []
    if not files:
        raise UsageError(f"init_from_llama names {path}; expected a .safetensors file or a folder with some")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file}: not a safetensors file ({error})") from None
    return tensors
