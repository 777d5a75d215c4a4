"""What every layout promises: how the features of a latent frame become groups of tokens, and features again.

A layout works on each latent frame alone; networks before and after it have the memory. Groups are quantized in decode
order, and a layout may look at the codes of earlier groups before it makes the latents of the next one.

Legend: B clips, T latent frames, h x w the grid of features, C and F their channels before and after, N tokens of all
groups in decode order, D numbers of a latent, E numbers that its quantizer wants: the latent, for some more after it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from interfaces.tokens import TokenGroup
from tokenizer.networks.pictures import PictureEncoderConfig

Quantize: TypeAlias = Callable[[int, Tensor], Tensor]
"""(number of the group, its latents [B, T, N, E]) -> what the decoder gets for them, [B, T, N, D]."""


class LayoutSettings:
    """What a configuration of a layout says to that of the network around it, unless it overrides this."""

    @property
    def multiple(self) -> int:
        """Height and width of the features must be multiples of it."""
        return 1

    def check_dim(self, dim: int) -> None:
        """ValueError unless latents of `dim` numbers suit the layout."""


class TokenLayout(nn.Module, ABC):
    """Weights below `decoder` decide no codes: they may be trained on while tokens stay the same."""

    in_dim: int  # channels of the encoder's features; C, unless the layout has a picture encoder
    out_dim: int  # F, channels of what the decoder gets

    quantizers: int = 1  # one for all groups, or as many as there are groups
    needs_size = False  # whether groups do not tell the frame size, so that the spec has to
    pictures: PictureEncoderConfig | None = None  # of an encoder of each latent frame's last picture alone

    @abstractmethod
    def groups(self, grid: tuple[int, int]) -> tuple[TokenGroup, ...]:
        """The groups of a latent frame with this grid of features, a multiple of the configuration's `multiple`."""

    @abstractmethod
    def grid(self, groups: Sequence[TokenGroup]) -> tuple[int, int]:
        """The grid of features that has these groups. Not asked where `needs_size`."""

    def check_groups(self, groups: Sequence[TokenGroup], grid: tuple[int, int]) -> None:
        """ValueError unless `decode` takes latents of these groups: those of `groups(grid)`, or what a layout adds."""
        if tuple(groups) != self.groups(grid):
            raise ValueError(f"groups are {list(groups)}; expected {list(self.groups(grid))}")

    @abstractmethod
    def encode(self, features_BThwC: Tensor, quantize: Quantize) -> None:
        """Makes the latents of each group, in order, and hands them to `quantize`.

        After the encoder's features come those of the picture encoder, if there is one.
        """

    @abstractmethod
    def decode(self, latents_BTND: Tensor, grid: tuple[int, int]) -> Tensor:
        """Features [B, T, h, w, F] of the quantized latents of all groups."""
