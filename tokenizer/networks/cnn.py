"""The convolutional tokenizer."""

from typing import cast

from torch import Tensor

from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.convolution import FrameConv
from tokenizer.networks.encoder_decoder import make_decoder, make_encoder, make_patchify
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.streaming import StreamingSequential


class CNNTokenizer(LatentTokenizer):
    """Convolutions within frames and over time, from fine to coarse levels and back."""

    def __init__(self, config: CNNTokenizerConfig):
        super().__init__(config, make_patchify(config), make_encoder, make_decoder)

    @property
    def last_layer(self) -> Tensor:
        last = cast(StreamingSequential, self.decoder).layers[-1]
        return cast(FrameConv, last).conv.weight
