"""Layouts: how the features of one latent frame become groups of tokens, and features again.

base.py         what every layout promises
grid.py         a token for each position
coarse_fine.py  two grids, the fine one given the codes of the coarse one
keyframes.py    a picture, then a few tokens that say how it came about
pyramid.py      a grid for each scale, each saying what those before it have left over
line.py         tokens without places, which read and paint the whole picture
"""

from typing import TypeAlias

from tokenizer.networks.layouts.base import Quantize, TokenLayout
from tokenizer.networks.layouts.coarse_fine import CoarseFine, CoarseFineConfig
from tokenizer.networks.layouts.grid import Grid, GridConfig
from tokenizer.networks.layouts.keyframes import Keyframes, KeyframesConfig
from tokenizer.networks.layouts.line import Line, LineConfig
from tokenizer.networks.layouts.pyramid import Pyramid, PyramidConfig

LayoutConfig: TypeAlias = GridConfig | CoarseFineConfig | KeyframesConfig | PyramidConfig | LineConfig

__all__ = [
    "GRID",
    "CoarseFineConfig",
    "GridConfig",
    "KeyframesConfig",
    "LayoutConfig",
    "LineConfig",
    "PyramidConfig",
    "Quantize",
    "TokenLayout",
    "make_layout",
]

GRID = GridConfig()


def make_layout(config: LayoutConfig, dim: int, encoder_dim: int) -> TokenLayout:
    """The layout for latents of `dim` numbers, whose quantizer wants `encoder_dim`."""
    match config:
        case GridConfig():
            return Grid(config, dim, encoder_dim)
        case CoarseFineConfig():
            return CoarseFine(config, dim, encoder_dim)
        case KeyframesConfig():
            return Keyframes(config, dim, encoder_dim)
        case PyramidConfig():
            return Pyramid(config, dim, encoder_dim)
        case LineConfig():
            return Line(config, dim, encoder_dim)
