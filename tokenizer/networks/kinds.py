"""The kinds of tokenizers: for each, its configuration and its network."""

from collections.abc import Callable
from typing import Any, TypeAlias, get_args, get_type_hints

from tokenizer.foreign.cosmos.config import CosmosTokenizerConfig
from tokenizer.foreign.cosmos.network import CosmosTokenizer
from tokenizer.foreign.emu3.config import Emu3TokenizerConfig
from tokenizer.foreign.emu3.tokenizer import Emu3Tokenizer
from tokenizer.foreign.vidtok.config import VidTokConfig
from tokenizer.foreign.vidtok.tokenizer import VidTokTokenizer
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.factorized import FactorizedTokenizer
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.networks.transformer.tokenizer import TransformerTokenizer

TokenizerConfig: TypeAlias = (
    CNNTokenizerConfig
    | FactorizedTokenizerConfig
    | TransformerTokenizerConfig
    | CosmosTokenizerConfig
    | Emu3TokenizerConfig
    | VidTokConfig
)  # by `kind`

_NETWORKS: dict[type, Callable[[Any], LatentTokenizer]] = {
    CNNTokenizerConfig: CNNTokenizer,
    FactorizedTokenizerConfig: FactorizedTokenizer,
    TransformerTokenizerConfig: TransformerTokenizer,
    CosmosTokenizerConfig: CosmosTokenizer,
    Emu3TokenizerConfig: Emu3Tokenizer,
    VidTokConfig: VidTokTokenizer,
}
TOKENIZER_CONFIGS: dict[str, type] = {get_args(get_type_hints(config)["kind"])[0]: config for config in _NETWORKS}


def make_tokenizer(config: TokenizerConfig) -> LatentTokenizer:
    return _NETWORKS[type(config)](config)
