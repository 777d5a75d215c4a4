"""One code after the other, by the chain rule: the exact distribution of a token with any number of codebooks."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interfaces.prior import DrawSettings, TokenSource
from interfaces.tokens import TokenSpec
from prior.head_config import ChainConfig
from prior.heads.base import TokenLosses, code_losses, codebooks_of, sum_losses
from prior.heads.token_sampling import log_probability, sample_codes
from prior.linear import Linear


class ChainHead(nn.Module):
    """Logits of a code given the codes before it.

    The logits of the first code are a linear layer of the features, as in any Llama. For a later code, a gated layer
    first mixes the embeddings of the codes before it into the features.
    """

    def __init__(self, config: ChainConfig, spec: TokenSpec, width: int):
        super().__init__()
        self.codebooks = sizes = codebooks_of(spec, config.kind)
        self.read = nn.ModuleList(Linear(width, size, bias=False) for size in sizes)
        self.known = nn.ModuleList(nn.Embedding(size, width) for size in sizes[:-1])
        self.mix = nn.ModuleList(Linear(width, 2 * width, bias=False) for _ in sizes[1:])

    def forward(self, features: Tensor, known_codes: Tensor) -> Tensor:
        """Features [..., C] and the first k codes int64 [..., k], to the logits [..., V] of the next code."""
        known: Tensor | None = None
        for place in range(known_codes.shape[-1]):
            known = self.with_code(known, known_codes[..., place], place)
        return self.logits(features, known, known_codes.shape[-1])

    def with_code(self, known: Tensor | None, code: Tensor, place: int) -> Tensor:
        """The sum of the embeddings of the codes up to the one at this place."""
        embedded: Tensor = self.known[place](code)
        return embedded if known is None else known + embedded

    def logits(self, features: Tensor, known: Tensor | None, place: int) -> Tensor:
        """Those of the code at this place, given the sum of the embeddings of the codes before it."""
        if known is None:
            first: Tensor = self.read[0](features).float()
            return first
        gate, up = self.mix[place - 1](features + known).chunk(2, -1)
        logits: Tensor = self.read[place](F.silu(gate) * up + features).float()
        return logits

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        places = range(len(self.codebooks))
        return sum_losses(code_losses(self(features, codes[..., :k]), codes[..., k], smoothing) for k in places)

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        return sample_codes(self.code_by_code(features_BMC), len(self.codebooks), settings, rng)

    def log_probability(self, features_BMC: Tensor, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        return log_probability(self.code_by_code(features_BMC), codes_BMK, settings)

    def code_by_code(self, features_BMC: Tensor) -> Callable[[Tensor], Tensor]:
        """The logits given the codes so far; call it with one code more each time, so that each is embedded once."""
        known: Tensor | None = None

        def logits(known_codes: Tensor) -> Tensor:
            nonlocal known
            place = known_codes.shape[-1]
            known = self.with_code(known, known_codes[..., -1], place - 1) if place else None
            return self.logits(features_BMC, known, place)

        return logits

    def guesses(self, features: Tensor) -> Tensor:
        codes = torch.empty(*features.shape[:-1], 0, dtype=torch.int64, device=features.device)
        for _ in self.codebooks:
            codes = torch.cat([codes, self(features, codes).argmax(-1, keepdim=True)], -1)
        return codes

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        return [self(features, codes[..., :place]) for place in range(len(self.codebooks))]
