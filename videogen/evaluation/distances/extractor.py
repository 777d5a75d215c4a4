"""What makes features of clips for a Frechet distance, and the frames that it is given."""

from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Clips: TypeAlias = NDArray[np.uint8]  # [B, T, H, W, 3]


class Extractor(Protocol):
    """Clips to features, with what identifies them in a report."""

    @property
    def key(self) -> str:
        """The name of the distance among figures."""

    @property
    def name(self) -> str: ...

    @property
    def frames(self) -> int:
        """The first frames of a clip that are looked at; the last one is repeated where there are fewer."""

    @property
    def resolution(self) -> tuple[int, int]: ...

    @property
    def comparable(self) -> bool:
        """With published figures."""

    @property
    def published_clips(self) -> int:
        """The clips of each set that published figures are of; 0 where they are of any number."""

    @property
    def population(self) -> bool:
        """Whether covariances are means over all clips, instead of over one clip less."""

    def __call__(self, clips_BTHWC: Clips) -> Tensor:
        """float [B, F]."""


def sample_frames(clips_BTHWC: Clips, frames: int, size: int | tuple[int, int], antialias: bool = True) -> Tensor:
    """float [B, 3, frames, *size] in [0, 1]: the first frames, the last one repeated if there are too few."""
    chosen = np.minimum(np.arange(frames), clips_BTHWC.shape[1] - 1)
    x = torch.from_numpy(clips_BTHWC[:, chosen]).permute(0, 4, 1, 2, 3).float() / 255
    side = (size, size) if isinstance(size, int) else size
    flat = F.interpolate(x.flatten(1, 2), size=side, mode="bilinear", antialias=antialias)
    return flat.view(len(x), 3, frames, *side)
