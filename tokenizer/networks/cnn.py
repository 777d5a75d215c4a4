"""The convolutional tokenizer."""

from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.encoder_decoder import make_decoder, make_encoder, make_patchify
from tokenizer.networks.latent import LatentTokenizer


class CNNTokenizer(LatentTokenizer):
    """Convolutions within frames and over time, from fine to coarse levels and back."""

    def __init__(self, config: CNNTokenizerConfig):
        super().__init__(config, make_patchify(config), make_encoder, make_decoder)
