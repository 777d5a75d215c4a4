"""The kinds of priors: for each, its configuration and its network."""

from typing import TypeAlias

from prior.config import PriorConfig, PriorShape
from prior.model import LlamaPrior
from prior.network import PriorNetwork
from prior.pixelcnn.config import PixelCNNConfig, PixelCNNShape
from prior.pixelcnn.model import PixelCNN

AnyPriorShape: TypeAlias = PriorShape | PixelCNNShape  # by `kind`
AnyPriorConfig: TypeAlias = PriorConfig | PixelCNNConfig

PRIOR_CONFIGS: dict[str, type] = {"llama": PriorConfig, "pixelcnn": PixelCNNConfig}


def make_prior(config: AnyPriorConfig) -> PriorNetwork:
    """The network with random weights; ValueError if it cannot model these tokens."""
    return LlamaPrior(config) if isinstance(config, PriorConfig) else PixelCNN(config)
