"""What is Emu3's own: resampling along time, and layers of the decoder, whose features come with a guide.

The guide are the quantized latents, which go the same way along time as the features but past the first convolution.
Along time, both are side by side as channels; within frames, the guide keeps the size of the latents.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokenizer.foreign.layers import SpaceTimeConv, split_pair
from tokenizer.networks.condition.decoder import ConditionedSequential
from tokenizer.networks.condition.layers import ConditionLayer
from tokenizer.streaming import State, Streaming


class KernelTimeDown(Streaming):
    """[B, T, H, W, C] -> [B, T / 2, H, W, C]: silu of a kernel over the last 4 frames, at every other one."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = SpaceTimeConv(dim, dim, repeats_first=False, stride=2, taps=4)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        y_BTHWC, state = self.conv(x_BTHWC, state)
        return F.silu(y_BTHWC), state


class KernelTimeUp(Streaming):
    """[B, T, H, W, C] -> [B, 2 T, H, W, C]: each frame twice, then silu of a kernel over the last 3 frames."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv = SpaceTimeConv(dim, dim, repeats_first=False)

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        y_BTHWC, state = self.conv(x_BTHWC.repeat_interleave(2, dim=1), state)
        return F.silu(y_BTHWC), state


class WithGuide(Streaming):
    """[B, T, H, W, C] -> [B, T, H, W, 2 C]: what the layer makes of latents, and the latents as its guide."""

    def __init__(self, layer: Streaming):
        super().__init__()
        self.layer = layer

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        y_BTHWC, state = self.layer(x_BTHWC, state)
        return torch.cat([y_BTHWC, x_BTHWC], dim=-1), state


class OnBoth(Streaming):
    """[B, T, H, W, 2 C] -> [B, T, H, W, 2 C]: the layer on the features, and on the guide, each with its own past."""

    def __init__(self, layer: Streaming):
        super().__init__()
        self.layer = layer

    def forward(self, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
        before = (None, None) if state is None else split_pair(state)
        (x_BTHWC, first), (guide_BTHWC, second) = map(self.layer, x_BTHWC.chunk(2, dim=-1), before)
        return torch.cat([x_BTHWC, guide_BTHWC], dim=-1), (first, second)


class Guided(NamedTuple):
    features_BTHWC: Tensor
    guide_BThwG: Tensor


class GuidedStart(nn.Module):
    """Features and guide side by side apart; the layer on the features."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x_BTHWC: Tensor) -> Guided:
        features_BTHWC, guide_BThwG = x_BTHWC.chunk(2, dim=-1)
        return Guided(self.layer(features_BTHWC), guide_BThwG)


class OnFeatures(nn.Module):
    """The layer on the features alone."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Guided) -> Guided:
        return x._replace(features_BTHWC=self.layer(x.features_BTHWC))


class ByGuide(nn.Module):
    """The layer on the features, given the guide."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Guided) -> Guided:
        return x._replace(features_BTHWC=self.layer(*x))


class GuidedEnd(ByGuide):
    """silu of what the layer makes of the features, given the guide, which ends here."""

    def forward(self, x: Guided) -> Tensor:  # type: ignore[override]
        return F.silu(self.layer(*x))


class GuidedConditionedSequential(ConditionedSequential):
    """A decoder with condition layers, which change the features and not the guide."""

    def condition_on(self, layer: ConditionLayer, x: Guided, caption: State) -> Guided:
        return x._replace(features_BTHWC=layer(x.features_BTHWC, caption))
