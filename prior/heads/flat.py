"""One softmax over all combinations of codes, for tokens that have few enough of them."""

import math

import torch
from torch import Tensor, nn

from interfaces.prior import DrawSettings, TokenSource
from interfaces.tokens import TokenSpec
from prior.head_config import FlatConfig
from prior.heads.base import TokenLosses, code_losses, codebooks_of
from prior.heads.token_sampling import log_probability, sample_codes
from prior.linear import Linear

MAX_TOKENS = 2**16  # different ones: more logits than that cost more than the prior itself


class FlatHead(nn.Module):
    """Temperature, top_k and top_p hold for the whole token, which is drawn at once."""

    def __init__(self, config: FlatConfig, spec: TokenSpec, width: int):
        super().__init__()
        self.codebooks = codebooks_of(spec, config.kind)
        size = math.prod(self.codebooks)
        if size > MAX_TOKENS:
            raise ValueError(f"head = flat has a logit for each of {size:,} tokens; at most {MAX_TOKENS:,}: use chain")
        self.read = Linear(width, size, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., C] to logits [..., V] of whole tokens, the first code varying fastest."""
        logits: Tensor = self.read(features).float()
        return logits

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        return code_losses(self(features), self.joined(codes), smoothing)

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        numbers_BM1, confidence_BM = sample_codes(lambda _: self(features_BMC), 1, settings, rng, self.symbol)
        return self.split(numbers_BM1.squeeze(-1)), confidence_BM

    def log_probability(self, features_BMC: Tensor, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        numbers_BM1 = self.joined(codes_BMK).unsqueeze(-1)
        return log_probability(lambda _: self(features_BMC), numbers_BM1, settings)

    def guesses(self, features: Tensor) -> Tensor:
        return self.split(self(features).argmax(-1))

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        return [self(features)]

    def symbol(self, place: int, codes_K: Tensor) -> Tensor:
        return self.joined(codes_K)

    def joined(self, codes_K: Tensor) -> Tensor:
        """Codes [..., K] to the number of the token [...]."""
        number = torch.zeros_like(codes_K[..., 0])
        for code, size in zip(reversed(codes_K.unbind(-1)), reversed(self.codebooks), strict=True):
            number = number * size + code
        return number

    def split(self, number: Tensor) -> Tensor:
        """The reverse of `joined`."""
        codes = []
        for size in self.codebooks:
            codes.append(number % size)
            number = number // size
        return torch.stack(codes, -1)
