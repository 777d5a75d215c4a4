"""The transformer tokenizer."""

from tokenizer.networks.latent import LatentTokenizer
from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.networks.transformer.encoder_decoder import make_decoder, make_encoder, make_patchify


class TransformerTokenizer(LatentTokenizer):
    """Attention within windows of a frame and over the last frames, on one grid of patches."""

    def __init__(self, config: TransformerTokenizerConfig):
        super().__init__(config, make_patchify(config), make_encoder, make_decoder)
