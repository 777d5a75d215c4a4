"""A head for continuous tokens: each number is normally distributed, its mean and width read off the features."""

import math

from torch import Tensor, nn

from interfaces.prior import DrawSettings, TokenRNG
from prior.config import PriorConfig
from prior.heads.base import TokenLosses
from prior.linear import Linear


class GaussianHead(nn.Module):
    def __init__(self, config: PriorConfig):
        super().__init__()
        assert config.spec.channels is not None
        self.read = Linear(config.width, 2 * config.spec.channels)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Means, and logarithms of widths."""
        mean, width = self.read(features).float().chunk(2, -1)
        return mean, width.clamp(-3, 1)

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        mean, width = self(features)
        nats = nats_of(codes, mean, width)
        return TokenLosses(nats, nats.detach(), (codes - mean).abs().amax(-1) < 0.1)

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenRNG) -> tuple[Tensor, Tensor]:
        mean, width = self(features_BMC)
        if settings.guidance is not None:
            (with_text, without), (width, _) = mean.chunk(2), width.chunk(2)
            scale = settings.guidance
            mean = without + (scale if isinstance(scale, float) else scale.view(-1, 1, 1)) * (with_text - without)
        codes = mean + settings.temperature * width.exp() * rng.normals(mean.shape[-1]).to(mean)
        return codes, -nats_of(codes, mean, width)

    def guesses(self, features: Tensor) -> Tensor:
        return self(features)[0]

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        return list(self(features))


def nats_of(codes: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    return (0.5 * ((codes - mean) / width.exp()).square() + width + 0.5 * math.log(2 * math.pi)).sum(-1)
