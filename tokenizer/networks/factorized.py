"""The factorized tokenizer: a network for each frame, then one along time.

    frames -- network for frames --> features of each frame -- network along time --> features of each latent frame
    frames <-- network for frames -- features of each frame <-- network along time -- features of each latent frame

With an image quantizer, the network for frames is a CNNTokenizer of images too: it has a head that makes image latents
of a frame's features, and an entry that makes features of image latents.
"""

from typing import cast

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from interfaces.prior import Text
from tokenizer.networks.blocks import TimeBlock
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.condition import decoder_sequence
from tokenizer.networks.convolution import Downsample, FrameConv, Upsample
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.networks.latent import LatentTokenizer, Reconstruction
from tokenizer.quantize import Quantized
from tokenizer.quantize.pair import QuantizerPair
from tokenizer.streaming import State, Streaming, StreamingSequential


class FactorizedTokenizer(LatentTokenizer):
    """`frames` is the network for frames as a tokenizer of images, with the same weights: they change together."""

    config: FactorizedTokenizerConfig
    frames: CNNTokenizer

    def __init__(self, config: FactorizedTokenizerConfig):
        image = CNNTokenizer(config.image)
        super().__init__(
            config,
            image.patchify,
            lambda config, dim: FactorizedEncoder(config, image, dim),
            lambda config, dim: make_factorized_decoder(config, image, dim),
        )
        if config.image_quantizer is not None:
            self.quantizer = QuantizerPair(self.quantizer, image.quantizer.of_group(0))
        self.__dict__["frames"] = image  # no part of its own: its layers are parts of encoder and decoder already

    @property
    def image(self) -> CNNTokenizer | None:
        """The tokenizer of images inside, if there is one: whether its head, entry and quantizer are trained."""
        return None if self.config.image_quantizer is None else self.frames

    def forward(self, clip_BCTHW: Tensor, text: Text | None = None) -> Reconstruction:
        """Encode, quantize and decode a whole clip; in training, one frame of each latent frame as an image too."""
        out = super().forward(clip_BCTHW, text)
        if self.image is None or not self.training:
            return out
        images_NC1HW = rearrange(clip_BCTHW[:, :, :: self.config.f_t], "b c t h w -> (b t) c 1 h w")
        image: Reconstruction = self.image(images_NC1HW)
        terms = {"l2": F.mse_loss(image.clip.float(), images_NC1HW.float()), **image.losses}
        losses = {f"image_{name}": self.config.image_weight * term for name, term in terms.items()}
        return out._replace(losses=out.losses | losses, quantized=self._with_image(out.quantized, image.quantized))

    def _with_image(self, quantized: Quantized, image: Quantized) -> Quantized:
        metrics = {f"image_{name}": value for name, value in image.metrics.items()}
        both = cast(QuantizerPair, self.quantizer).with_other(quantized, image)
        return both._replace(metrics=quantized.metrics | metrics)


class FactorizedEncoder(Streaming):
    """Patches of frames to features of latent frames; the head is for images alone."""

    def __init__(self, config: FactorizedTokenizerConfig, image: CNNTokenizer, dim: int):
        super().__init__()
        width, layers = config.encoder_widths[-1], cast(StreamingSequential, image.encoder).layers
        self.frames = StreamingSequential(layers[:-1])
        self.time = StreamingSequential(
            [
                Downsample(width, width, config.f_t, 1),
                *(TimeBlock(width, config.kernel_t, config.causal) for _ in range(config.encoder_time_blocks)),
                FrameConv(width, dim, 1),
            ]
        )
        self.head: nn.Module | None = None if config.image_quantizer is None else layers[-1]

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        features_BThwC, _ = self.frames(x_BTHWC, None)
        return self.time(features_BThwC, state)  # type: ignore[no-any-return]


def make_factorized_decoder(config: FactorizedTokenizerConfig, image: CNNTokenizer, dim: int) -> StreamingSequential:
    """Features of latent frames to patches of frames: along time first, then the image tokenizer's own layers.

    A condition is given to the blocks along time. The entry is for images alone.
    """
    width, (entry, *frames) = config.decoder_widths[-1], image.decoder.layers
    blocks = [TimeBlock(width, config.kernel_t, config.causal) for _ in range(config.decoder_time_blocks)]
    layers = [FrameConv(dim, width, 3), *blocks, Upsample(width, width, config.f_t, 1), *frames]
    decoder = decoder_sequence(layers, config.condition, dict.fromkeys(range(1, 1 + len(blocks)), width))
    if config.image_quantizer is not None:
        decoder.add_module("entry", entry)
    return decoder
