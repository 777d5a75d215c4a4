"""Continuous tokens: a small network moves noise to a token along a straight path, in a few steps.

A head per token without codes was published as Li et al., "Autoregressive image generation without vector quantization"
(2024); the path is that of Lipman et al., "Flow matching for generative modeling" (2023).
"""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interfaces.prior import DrawSettings, TokenCoder, TokenSource
from interfaces.tokens import TokenSpec
from prior.head_config import FlowConfig
from prior.heads.base import TokenLosses
from prior.heads.token_sampling import apply_guidance, finite
from prior.linear import Linear

WAVES = 32  # sines and cosines that tell the network how far a token is


class FlowHead(nn.Module):
    """Predicts the velocity from noise to the token; it has no likelihood.

    Temperature multiplies the noise that sampling begins with: 0 gives the same token for the same features.
    """

    def __init__(self, config: FlowConfig, spec: TokenSpec, width: int):
        super().__init__()
        if spec.channels is None:
            raise ValueError("head = flow needs continuous tokens, but these have codebooks; use chain")
        inner = config.width or width
        self.steps, self.repeats = config.steps, config.repeats
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(spec.channels))
        self.register_buffer("scale", torch.ones(spec.channels))
        self.enter = Linear(width, inner)
        self.time = Linear(2 * WAVES, inner)
        self.token = Linear(spec.channels, inner)
        self.layers = nn.ModuleList(ModulatedMLP(inner) for _ in range(config.layers))
        self.leave = Modulated(inner, 2)
        self.read = Linear(inner, spec.channels)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """A narrower dtype is for weights: it would round the scale of the tokens."""
        mean, scale = self.mean, self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.mean.dtype.itemsize < mean.dtype.itemsize:
            self.mean, self.scale = mean.to(self.mean.device), scale.to(self.scale.device)
        return self

    @torch.no_grad()
    def prepare(self, tokens: Tensor) -> None:
        """Before training: the mean and the scale of each channel, from some tokens [..., D]."""
        rows = tokens.flatten(0, -2).to(self.mean)
        self.mean.copy_(rows.mean(0))
        self.scale.copy_(rows.std(0).clamp_min(1e-6))

    def forward(self, entered: Tensor, tokens: Tensor, time: Tensor) -> Tensor:
        """The velocity [..., D] of partly noisy tokens [..., D] at `time` [...]: 0 is noise, 1 the token.

        `entered` is what the first layer makes of the features; it is the same at all times.
        """
        condition = F.silu(entered + self.time(waves(time).to(entered.dtype)))
        x = self.token(tokens.to(entered.dtype))
        for layer in self.layers:
            x = layer(x, condition)
        x, _ = self.leave(x, condition)
        velocity: Tensor = self.read(x).float()
        return velocity

    def losses(self, features: Tensor, codes: Tensor, smoothing: float = 0.0) -> TokenLosses:
        """The mean squared error of the velocity; label smoothing has no meaning here."""
        tokens = ((codes - self.mean) / self.scale).float()
        generator = None if self.training else torch.Generator(codes.device).manual_seed(0)  # the same figure each time
        noise = torch.randn(self.repeats, *tokens.shape, generator=generator, device=tokens.device)
        time = torch.randn(self.repeats, *tokens.shape[:-1], generator=generator, device=tokens.device).sigmoid()
        partly = torch.lerp(noise, tokens.expand_as(noise), time.unsqueeze(-1))
        loss = (self(self.enter(features), partly, time) - (tokens - noise)).square().mean((0, -1))
        return TokenLosses(loss, loss.detach(), torch.zeros_like(loss, dtype=torch.bool))

    def sample(self, features_BMC: Tensor, settings: DrawSettings, rng: TokenSource) -> tuple[Tensor, Tensor]:
        assert not isinstance(rng, TokenCoder), "a flow has no probabilities to code with"
        noise_BMD = rng.normals(self.mean.shape[-1]).to(self.mean.dtype)
        tokens_BMD = self.path(features_BMC, settings.temperature * noise_BMD, settings)
        return tokens_BMD, torch.zeros_like(tokens_BMD[..., 0], dtype=torch.float32)

    def path(self, features: Tensor, noise: Tensor, settings: DrawSettings) -> Tensor:
        """The end of the path that begins at this noise, by Euler steps."""
        entered, x = self.enter(features), noise
        for step in range(self.steps):
            twice = x if settings.guidance is None else torch.cat([x, x])
            velocity = finite(self(entered, twice, x.new_full(twice.shape[:-1], step / self.steps)), settings.broken)
            if settings.guidance is not None:
                velocity = apply_guidance(velocity, settings.guidance)
            x = x + velocity / self.steps
        tokens: Tensor = x * self.scale + self.mean
        return tokens

    def guesses(self, features: Tensor) -> Tensor:
        noise = torch.zeros(*features.shape[:-1], self.mean.shape[-1], device=features.device, dtype=self.mean.dtype)
        return self.path(features, noise, DrawSettings(temperature=0))

    def readings(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        entered, tokens = self.enter(features), (codes - self.mean) / self.scale
        return [self(entered, tokens, torch.full_like(tokens[..., 0], time)) for time in (0.0, 0.5, 0.9)]


class Modulated(nn.Module):
    """A norm whose scale and shift, and a gate where there are three parts, are read off the condition."""

    def __init__(self, width: int, parts: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.parts = Linear(width, parts * width)
        self.count = parts

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor | None]:
        scale, shift, *gate = self.parts(condition).chunk(self.count, -1)
        return self.norm(x) * (1 + scale) + shift, gate[0] if gate else None


class ModulatedMLP(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.modulated = Modulated(width, 3)
        self.up = Linear(width, width)
        self.down = Linear(width, width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        changed, gate = self.modulated(x, condition)
        assert gate is not None
        mlp: Tensor = self.down(F.silu(self.up(changed)))
        out: Tensor = x + (1 + gate) * mlp
        return out


def waves(time: Tensor) -> Tensor:
    """Sines and cosines [..., 2 x WAVES] of a number from 0 to 1."""
    frequencies = math.tau * 0.25 * 1.15 ** torch.arange(WAVES, device=time.device, dtype=torch.float32)
    angles = time.unsqueeze(-1) * frequencies
    return torch.cat([angles.sin(), angles.cos()], -1)
