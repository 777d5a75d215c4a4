"""The kinds of priors: for each, its configuration and its network."""

from typing import TypeAlias

from interfaces.foreign import ForeignPrior
from prior.config import PriorConfig, PriorShape
from prior.lumos.config import Lumos1Config
from prior.lumos.model import Lumos1
from prior.lumos.weights import LUMOS1
from prior.model import LlamaPrior
from prior.network import PriorNetwork
from prior.pixelcnn.config import PixelCNNConfig, PixelCNNShape
from prior.pixelcnn.model import PixelCNN

AnyPriorShape: TypeAlias = PriorShape | PixelCNNShape  # by `kind`: those that are trained here
AnyPriorConfig: TypeAlias = PriorConfig | PixelCNNConfig | Lumos1Config

PRIOR_CONFIGS: dict[str, type] = {"llama": PriorConfig, "pixelcnn": PixelCNNConfig, "lumos1": Lumos1Config}

FOREIGN_PRIORS: dict[str, ForeignPrior] = {"lumos1": LUMOS1}  # public ones, by the kind that `convert` is given


def make_prior(config: AnyPriorConfig) -> PriorNetwork:
    """The network with random weights; ValueError if it cannot model these tokens."""
    match config:
        case Lumos1Config():
            return Lumos1(config)
        case PixelCNNConfig():
            return PixelCNN(config)
        case _:
            return LlamaPrior(config)
