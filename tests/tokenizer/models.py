"""Small random tokenizers and clips for the tests of this folder."""

import random

import torch
from torch import Tensor

from interfaces.tokens import TokenGroup, TokenSpec
from tokenizer.networks.blocks import ResidualBlock
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.factorized_config import FactorizedTokenizerConfig
from tokenizer.quantize import FSQConfig, QuantizerConfig

FSQ_1000 = FSQConfig(levels=(8, 5, 5, 5))


def small_config(
    f_t: int = 4,
    f_s: int = 8,
    front: str = "haar",
    front_t: int | None = None,
    front_s: int | None = None,
    kernel_t: int = 3,
    quantizer: QuantizerConfig = FSQ_1000,
    channels: int = 3,
    causal: bool = True,
) -> CNNTokenizerConfig:
    """Few channels; as many levels as the factors ask for."""
    front_s = front_s or max(2, f_s // 4)
    levels = (f_s // front_s).bit_length()
    return CNNTokenizerConfig(
        f_t=f_t,
        f_s=f_s,
        front=front,  # type: ignore[arg-type]
        front_t=front_t or f_t,
        front_s=front_s,
        encoder_widths=(8, 12, 16, 20)[:levels],
        encoder_blocks=(1,) * levels,
        decoder_widths=(8, 16, 20, 24)[:levels],
        decoder_blocks=(2,) + (1,) * (levels - 1),
        attention=True,
        kernel_t=kernel_t,
        quantizer=quantizer,
        spread_weight=0.1,
        channels=channels,
        causal=causal,
    )


def small_factorized(
    f_t: int = 4,
    quantizer: QuantizerConfig = FSQ_1000,
    image_quantizer: QuantizerConfig | None = FSQ_1000,
    causal: bool = True,
) -> FactorizedTokenizerConfig:
    return FactorizedTokenizerConfig(
        f_t=f_t,
        f_s=8,
        front="haar",
        front_s=4,
        encoder_widths=(8, 12),
        encoder_blocks=(1, 1),
        encoder_time_blocks=1,
        decoder_widths=(8, 16),
        decoder_blocks=(2, 1),
        decoder_time_blocks=2,
        attention=True,
        kernel_t=3,
        quantizer=quantizer,
        spread_weight=0.1,
        image_quantizer=image_quantizer,
        causal=causal,
    )


def small_model(config: CNNTokenizerConfig, seed: int = 0) -> CNNTokenizer:
    """Random weights, the branches as strong as the path around them: what training makes of them."""
    torch.manual_seed(seed)
    model = CNNTokenizer(config).eval()
    for layer in model.modules():
        if isinstance(layer, ResidualBlock):
            layer.time.conv.weight.data.mul_(10)
    return model


class StripeTokenizer:
    """Keeps the promise of a VideoTokenizer and offers nothing else: continuous tokens, the mean colors of 4 stripes.

    Every latent frame holds 4 frames, the first one too.
    """

    device, causal, channels, size_multiple = torch.device("cpu"), True, 3, 4

    def spec(self, height: int, width: int) -> TokenSpec:
        return TokenSpec((), (TokenGroup("stripes", (4,)),), frames_per_latent=4, first_frames=4, channels=3)

    def encode(self, clip: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        frames = clip if state is None else torch.cat([state, clip], 2)
        whole = frames.shape[2] // 4
        groups = frames[:, :, : 4 * whole].unflatten(2, (whole, 4)).unflatten(-1, (4, -1))
        tokens = groups.mean((3, 4, 6)).permute(0, 2, 3, 1)
        started = state is not None or clip.shape[2] > 0
        return tokens, frames[:, :, 4 * whole :].clone() if started else None

    def encode_tail(self, state: Tensor) -> Tensor:
        missing = -state.shape[2] % 4
        return self.encode(torch.cat([state, state[:, :, -1:].expand(-1, -1, missing, -1, -1)], 2))[0]

    def decode_tail(self, state: Tensor | None) -> Tensor | None:
        return None

    def decode(self, codes: Tensor, spec: TokenSpec, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        colors = codes.permute(0, 3, 1, 2).repeat_interleave(4, 2)[:, :, :, None, :]
        return colors.repeat_interleave(2, -1).expand(-1, -1, -1, 8, -1), torch.zeros(1)


def noise_clip(batch: int, frames: int, height: int, width: int, channels: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, frames, height, width, generator=generator) * 2 - 1


def random_plan(frames: int, draw: random.Random) -> list[int]:
    """Lengths of chunks, empty ones among them, that together leave some of the frames for a last call."""
    plan: list[int] = []
    while sum(plan) < frames and draw.random() < 0.9:
        plan.append(draw.randint(0, min(7, frames - sum(plan))))
    return plan


def moving_squares(batch: int, frames: int, size: int, seed: int = 0) -> Tensor:
    """A bright square gliding over a plain dark ground, with soft edges."""
    g = torch.Generator().manual_seed(seed)
    ground, color = torch.rand(2, batch, 3, 1, 1, 1, generator=g)
    ground = ground - 1
    start, speed = torch.rand(batch, 2, 1, generator=g) * size / 2, torch.rand(batch, 2, 1, generator=g) * size / 16
    corner = start + speed * torch.arange(frames)
    line = torch.arange(size)[:, None, None, None] - corner  # [S, B, 2, T]
    inside = ((line + 1).clamp(0, 1) * (size / 3 - line).clamp(0, 1)).permute(1, 2, 3, 0)
    mask = (inside[:, 0, :, :, None] * inside[:, 1, :, None, :])[:, None]
    return ground * (1 - mask) + color * mask
