"""A picture of the cells of a codebook: each pixel has the color of its nearest code.

Codes of two numbers are shown as they are. Others are projected onto two axes first, and a pixel's nearest code is
the nearest in that plane: a latent there may belong to another code, by what the other axes say.

Legend: V codes, M latents, H x W pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenizer.quantize.nearest import nearest_codes

SIDE = 480  # pixels
PALE, DARK, DEAD = (255, 244, 204), (20, 60, 130), (222, 222, 222)
RED, INK, BORDER, ORANGE = (200, 30, 30), (30, 30, 34), (255, 255, 255), (240, 130, 20)
MOST_DOTS, MOST_BORDERS, MOST_LATENTS = 1024, 2048, 1500
MARGIN = 0.06


@dataclass(frozen=True)
class PlaneWindow:
    """The rectangle of the plane that is shown, the same scale along both axes."""

    left: float
    bottom: float
    extent: float
    side: int = SIDE

    def points(self) -> Tensor:
        """The place of each pixel's middle [H W, 2], row by row from the top."""
        along = (torch.arange(self.side) + 0.5) / self.side * self.extent
        y, x = torch.meshgrid(self.bottom + along.flip(0), self.left + along, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=1)

    def pixels(self, points_M2: Tensor) -> list[tuple[float, float]]:
        x = (points_M2[:, 0] - self.left) / self.extent * self.side
        y = self.side - (points_M2[:, 1] - self.bottom) / self.extent * self.side
        return list(zip(x.tolist(), y.tolist(), strict=True))


def window_around(points_M2: Tensor, side: int = SIDE) -> PlaneWindow:
    """All of these points, with a margin."""
    low, high = points_M2.amin(0), points_M2.amax(0)
    extent = max(float((high - low).max()), 1e-6) * (1 + 2 * MARGIN)
    left, bottom = ((low + high) / 2 - extent / 2).tolist()
    return PlaneWindow(left, bottom, extent, side)


def draw_cells(
    codes_V2: Tensor, counts_V: Tensor | None, latents_M2: Tensor | None, window: PlaneWindow
) -> NDArray[np.uint8]:
    """The cells uint8 [H, W, 3]: darker the more they are used; gray with a red cross if never; some latents as dots.

    Without counts, neighboring codes differ in shade, which means nothing.
    """
    from PIL import Image, ImageDraw

    nearest_HW: Tensor = nearest_codes(window.points(), codes_V2).reshape(window.side, window.side)
    picture = shades(len(codes_V2), counts_V)[nearest_HW.numpy()]
    if len(codes_V2) <= MOST_BORDERS:
        picture[borders(nearest_HW)] = BORDER
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for x, y in window.pixels(latents_M2[:: max(1, len(latents_M2) // MOST_LATENTS)]) if latents_M2 is not None else ():
        pen.point((x, y), ORANGE)
    dead = counts_V == 0 if counts_V is not None else torch.zeros(len(codes_V2), dtype=torch.bool)
    for (x, y), never in zip(window.pixels(codes_V2), dead.tolist(), strict=True):
        if never:
            pen.line([(x - 3, y - 3), (x + 3, y + 3)], RED)
            pen.line([(x - 3, y + 3), (x + 3, y - 3)], RED)
        elif len(codes_V2) <= MOST_DOTS:
            pen.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], INK)
    return np.asarray(image)


def shades(size: int, counts_V: Tensor | None) -> NDArray[np.uint8]:
    """A color for each code, uint8 [V, 3]."""
    golden_V = torch.arange(size) * 0.618034 % 1  # neighbors in number differ
    level_V = log_level(counts_V) if counts_V is not None else 0.35 * golden_V
    ramp = torch.lerp(torch.tensor([PALE]).double(), torch.tensor([DARK]).double(), level_V[:, None].double())
    if counts_V is not None:
        ramp[counts_V == 0] = torch.tensor(DEAD).double()
    return ramp.round().to(torch.uint8).numpy()


def log_level(counts_V: Tensor) -> Tensor:
    """0.1 for the least used of the codes that are used to 1 for the most used, by the logarithm of their counts."""
    logs_V = counts_V.clamp_min(1).double().log()
    low, high = logs_V[counts_V > 0].aminmax() if (counts_V > 0).any() else (logs_V.amin(), logs_V.amax())
    return 0.1 + 0.9 * ((logs_V - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)


def borders(nearest_HW: Tensor) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbor lies in another cell."""
    edge = torch.zeros_like(nearest_HW, dtype=torch.bool)
    edge[:, :-1] |= nearest_HW[:, :-1] != nearest_HW[:, 1:]
    edge[:-1] |= nearest_HW[:-1] != nearest_HW[1:]
    return edge.numpy()
