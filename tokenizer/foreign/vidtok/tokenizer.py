"""VidTok, as published by Tang et al., "VidTok: A Versatile and Open-Source Video Tokenizer" (2024)."""

from typing import cast

from torch import Tensor

from tokenizer.foreign.layers import SpaceTimeConv
from tokenizer.foreign.vidtok.config import VidTokConfig
from tokenizer.foreign.vidtok.encoder_decoder import make_decoder, make_encoder
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.networks.patchify import Patchify


class VidTokTokenizer(LatentTokenizer):
    """Residual blocks within frames and along time, from single pixels to the coarsest level and back."""

    def __init__(self, config: VidTokConfig):
        super().__init__(config, Patchify(1, 1), make_encoder, make_decoder)
        self.still_start, self.delay = config.repeats_first, config.delay

    @property
    def last_layer(self) -> Tensor:
        return cast(SpaceTimeConv, self.decoder.layers[-1]).conv.conv.weight
