"""One code after the other by a small causal transformer over the codes of a token.

Published as Lee et al., "Autoregressive image generation using residual quantization" (2022). Beside the chain it can
weigh each code before the one it predicts, which residual codes with many levels need.
"""

import torch
from torch import Tensor, nn

from interfaces.prior import DrawSettings, TokenSource
from interfaces.tokens import TokenSpec
from prior.attention import attend_all
from prior.blocks import Block
from prior.config import BlockShape
from prior.head_config import DepthConfig
from prior.heads.base import TokenLosses, code_losses, codebooks_of, sum_losses
from prior.heads.token_sampling import log_probability, sample_codes
from prior.linear import Linear
from prior.rotary import RotaryCache, context_rotary


class DepthHead(nn.Module):
    """Place k of its sequence reads the features and the sum of the embeddings of the codes before code k."""

    def __init__(self, config: DepthConfig, spec: TokenSpec, width: int):
        super().__init__()
        self.codebooks = sizes = codebooks_of(spec, config.kind)
        inner = config.width or width
        self.shape = BlockShape(
            width=inner, layers=config.layers, heads=config.heads, kv_heads=config.heads, hidden=2 * inner
        )
        self.enter = Linear(width, inner, bias=False)
        self.known = nn.ModuleList(nn.Embedding(size, inner) for size in sizes[:-1])
        self.place = nn.Embedding(len(sizes), inner)
        self.layers = nn.ModuleList(Block(self.shape) for _ in range(config.layers))
        self.norm = nn.RMSNorm(inner, self.shape.epsilon)
        self.read = nn.ModuleList(Linear(inner, size, bias=False) for size in sizes)

    def forward(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        """Features [..., C] and all codes [..., K], to the logits [..., V] of each code given those before it."""
        x_FKC = self.inputs(self.enter(features.reshape(-1, features.shape[-1])), codes.reshape(-1, codes.shape[-1]))
        places = x_FKC.shape[1]
        rotary = self.rotary(places, x_FKC.device)
        mask = torch.ones(places, places, dtype=torch.bool, device=x_FKC.device).tril()
        for block in self.blocks:
            q, k, v = block.project(x_FKC, rotary)
            x_FKC = block.finish(x_FKC, attend_all(q, k.transpose(1, 2), v.transpose(1, 2), mask))
        outputs = self.norm(x_FKC).unbind(1)
        logits = [read(output).float() for read, output in zip(self.read, outputs, strict=True)]
        return [each.view(*features.shape[:-1], -1) for each in logits]

    @property
    def blocks(self) -> list[Block]:
        return list(self.layers)  # type: ignore[arg-type]

    def inputs(self, entered_FC: Tensor, codes_FK: Tensor) -> Tensor:
        """[F, K, C]"""
        sums = [torch.zeros_like(entered_FC)]
        for table, code in zip(self.known, codes_FK.unbind(-1), strict=False):
            sums.append(sums[-1] + table(code))
        return torch.stack(sums, 1) + entered_FC.unsqueeze(1) + self.place.weight

    def rotary(self, places: int, device: torch.device) -> RotaryCache:
        """No rotation: places have learned vectors."""
        return context_rotary(places, self.shape.head_dim, device)

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        pairs = zip(self(features, codes), codes.unbind(-1), strict=True)
        return sum_losses(code_losses(logits, code, smoothing) for logits, code in pairs)

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        reader = DepthReader(self, features_BMC)
        return sample_codes(reader.logits, len(self.codebooks), settings, rng)

    def log_probability(self, features_BMC: Tensor, codes_BMK: Tensor, settings: DrawSettings) -> Tensor:
        return log_probability(DepthReader(self, features_BMC).logits, codes_BMK, settings)

    def guesses(self, features: Tensor) -> Tensor:
        reader = DepthReader(self, features.reshape(1, -1, features.shape[-1]))
        codes = torch.empty(*reader.entered.shape[:2], 0, dtype=torch.int64, device=features.device)
        for _ in self.codebooks:
            codes = torch.cat([codes, reader.logits(codes).argmax(-1, keepdim=True)], -1)
        return codes.view(*features.shape[:-1], -1)

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        logits: list[Tensor] = self(features, codes)
        return logits


class DepthReader:
    """Reads tokens [B, M, C] code by code, with the keys and values of the codes before."""

    def __init__(self, head: DepthHead, features_BMC: Tensor):
        self.head, self.entered = head, head.enter(features_BMC)
        self.sum = torch.zeros_like(self.entered)
        self.rotary = head.rotary(1, features_BMC.device)
        self.keys: list[list[Tensor]] = [[] for _ in head.layers]
        self.values: list[list[Tensor]] = [[] for _ in head.layers]

    def logits(self, codes_BMk: Tensor) -> Tensor:
        """[B, M, V] of code k, given the codes before it; call it for k = 0, 1, ..."""
        head, place = self.head, codes_BMk.shape[-1]
        if place:
            self.sum = self.sum + head.known[place - 1](codes_BMk[..., -1])
        x_BMC = self.sum + self.entered + head.place.weight[place]
        for block, keys, values in zip(head.blocks, self.keys, self.values, strict=True):
            # Tokens are rows of one sample here, as everywhere: then a sample does not depend on its batch.
            q, k, v = block.project(x_BMC, self.rotary)
            keys.append(k.flatten(0, 1))
            values.append(v.flatten(0, 1))
            attended = attend_all(q.flatten(0, 1).unsqueeze(1), torch.stack(keys, 2), torch.stack(values, 2))
            x_BMC = block.finish(x_BMC, attended.view(q.shape))
        logits: Tensor = head.read[place](head.norm(x_BMC)).float()
        return logits
