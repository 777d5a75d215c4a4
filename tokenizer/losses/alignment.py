"""Semantic alignment: latents from which a small head predicts the features of a frozen vision model.

    latents_BTND -- head --> predicted_BTMF      loss = 1 - cosine(predicted, features), the mean over tokens
    last frame of each latent frame -- vision model --> features_NhwF --> features_BTMF

On a grid every token predicts the features at its place; the tokens of a line are pooled, and predict pooled features.
As in VQ-KD (BEiT v2), SEED and VA-VAE, the vision model says what latents should tell apart. The head is trained beside
the tokenizer and is not part of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from interfaces.tokens import TokenGroup, TokenSpec
from tokenizer.precision import at_least_float32


@dataclass(frozen=True)
class AlignmentConfig:
    """`folder` holds a vision model as `transformers` saves it; without one nothing is aligned."""

    folder: Path | None
    weight: float = 0.5
    head: Literal["linear", "mlp"] = "mlp"
    on: Literal["latents", "quantized"] = "latents"  # before quantization, or the latents of codes
    layer: int = -1  # which of the model's hidden states: 0 is the first, -1 the last

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight = {self.weight} must not be negative")


class VisionFeatures(Protocol):
    """A frozen vision model."""

    @property
    def width(self) -> int:
        """F, the numbers of a feature."""

    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        """Features [N, h, w, F] of frames in [-1, 1] of any size, without a gradient."""


class AlignmentHead(nn.Module):
    """Latents [..., D] to predicted features [..., F]."""

    def __init__(self, kind: Literal["linear", "mlp"], dim: int, width: int):
        super().__init__()
        more = [] if kind == "linear" else [nn.GELU(), nn.Linear(width, width)]
        self.layers = nn.Sequential(nn.Linear(dim, width), *more)

    def forward(self, latents: Tensor) -> Tensor:
        predicted: Tensor = self.layers(latents)
        return predicted


class AlignmentPairs(NamedTuple):
    latents: Tensor  # [B, T', M, D], of M tokens or pooled tokens
    features: Tensor  # [B, T', M, F], which the head shall predict


def alignment_pairs(
    vision: VisionFeatures, clip_BCTHW: Tensor, latents_BTND: Tensor, spec: TokenSpec
) -> AlignmentPairs:
    """What is compared: the latents of each group, and the features of the last frame of each latent frame."""
    frames_BTCHW = last_frames(clip_BCTHW, spec)
    with torch.no_grad(), torch.autocast(clip_BCTHW.device.type, enabled=False):
        features_NhwF = vision(frames_BTCHW.flatten(0, 1).float())
    groups = list(zip(spec.groups, spec.slices, strict=True))
    latents = [tokens_of(group, latents_BTND[:, :, tokens]) for group, tokens in groups]
    features = [features_of(group, features_NhwF) for group, _ in groups]
    features_BTMF = rearrange(torch.cat(features, 1), "(b t) m f -> b t m f", b=len(clip_BCTHW))
    return AlignmentPairs(torch.cat(latents, 2), features_BTMF)


def alignment_loss(predicted: Tensor, features: Tensor) -> Tensor:
    """1 - cosine, the mean over all tokens: from 0 to 2, a scalar."""
    cosine = F.cosine_similarity(at_least_float32(predicted), at_least_float32(features), dim=-1)
    return 1 - cosine.mean()


def last_frames(clip_BCTHW: Tensor, spec: TokenSpec) -> Tensor:
    """The last frame of each latent frame [B, T', C, H, W]; of an incomplete one the last that there is."""
    frames = clip_BCTHW.shape[2]
    ends = [min(spec.video_frames(t + 1), frames) - 1 for t in range(spec.latent_frames(frames))]
    return clip_BCTHW[:, :, ends].transpose(1, 2)


def tokens_of(group: TokenGroup, latents_BTND: Tensor) -> Tensor:
    """All tokens of a grid, the mean of those of a line."""
    return latents_BTND if len(group.shape) == 2 else latents_BTND.mean(2, keepdim=True)


def features_of(group: TokenGroup, features_NhwF: Tensor) -> Tensor:
    """Features [N, tokens, F], resized to a grid; for a line their mean [N, 1, F]."""
    features_NFhw = rearrange(features_NhwF, "n h w f -> n f h w")
    shape = group.shape if len(group.shape) == 2 else (1, 1)
    if shape == (1, 1):
        return features_NFhw.mean((2, 3))[:, None]
    resized = F.interpolate(features_NFhw, shape, mode="bilinear", antialias=True)
    return rearrange(resized, "n f h w -> n (h w) f")
