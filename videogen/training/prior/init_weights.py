"""The weights a prior's run begins with: drawn anew, those of another prior, or the blocks of a Llama."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from prior.llama import blocks_from_llama
from prior.model import LlamaPrior
from videogen.errors import CheckpointError, UsageError
from videogen.models import PriorModel, load_prior
from videogen.training.prior.config import PriorTrainingConfig

Weights = Callable[[], Mapping[str, Tensor]]


def first_weights(network: LlamaPrior, config: PriorTrainingConfig) -> Weights | None:
    """How to get every weight of a network that does not begin at random; read only where a run begins."""
    if config.begin_with is not None:
        path = config.begin_with
        return lambda: of_another(network, opened(path))
    if config.init_from is not None:
        checkpoint = config.init_from
        return lambda: with_blocks_of(network, checkpoint)
    return None


@contextmanager
def beginning() -> Iterator[None]:
    """What is wrong with the model that `begin_with` names is said of it: a preset may have named it, not the user."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"begin_with: {error}; begin_with=null begins at random") from None


def opened(path: Path) -> PriorModel:
    with beginning():
        return load_prior(path)


def of_another(network: LlamaPrior, model: PriorModel) -> dict[str, Tensor]:
    """Those of another prior, of either objective; UsageError where one does not fit."""
    path, own, others = model.path, dict(network.state_dict()), dict(model.network.state_dict())
    for name in sorted(own.keys() | others.keys()):
        there, here = others.get(name), own.get(name)
        if there is None or here is None or there.shape != here.shape:
            shapes = " and ".join("none" if each is None else str(list(each.shape)) for each in (there, here))
            raise UsageError(f"begin_with names {path}, whose {name} does not fit this configuration ({shapes} here)")
    return others


def with_blocks_of(network: LlamaPrior, path: Path) -> dict[str, Tensor]:
    """The network's own, but the blocks of a Llama; UsageError where they do not fit."""
    try:
        return {**network.state_dict(), **blocks_from_llama(llama_tensors(path), network.config)}
    except ValueError as error:
        raise UsageError(f"init_from names {path}: {error}") from None


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
