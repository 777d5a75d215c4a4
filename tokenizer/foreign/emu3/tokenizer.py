"""The Emu3 vision tokenizer, as published by Wang et al., "Emu3: Next-Token Prediction is All You Need" (2024)."""

from tokenizer.foreign.emu3.config import Emu3TokenizerConfig
from tokenizer.foreign.emu3.encoder_decoder import make_decoder, make_encoder
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.networks.patchify import Patchify


class Emu3Tokenizer(LatentTokenizer):
    """A network for each frame, and a small one along time over the latents. Zeros come before a new stream."""

    config: Emu3TokenizerConfig
    still_start = False

    def __init__(self, config: Emu3TokenizerConfig):
        super().__init__(config, Patchify(1, 1), make_encoder, make_decoder)

    @property
    def first_frames(self) -> int:
        return self.config.f_t
