"""The transformer tokenizer."""

from typing import cast

from torch import Tensor

from tokenizer.networks.convolution import FrameConv
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.networks.transformer.config import TransformerTokenizerConfig
from tokenizer.networks.transformer.encoder_decoder import make_decoder, make_encoder, make_patchify
from tokenizer.streaming import StreamingSequential


class TransformerTokenizer(LatentTokenizer):
    """Attention within windows of a frame and over the last frames, on one grid of patches."""

    def __init__(self, config: TransformerTokenizerConfig):
        super().__init__(config, make_patchify(config), make_encoder, make_decoder)

    @property
    def last_layer(self) -> Tensor:
        last = cast(StreamingSequential, self.decoder).layers[-1]
        return cast(FrameConv, last).conv.weight
