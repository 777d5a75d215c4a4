"""What every way of deciding a frame gives back."""

from typing import NamedTuple

from torch import Tensor


class Decided(NamedTuple):
    """A latent frame of each stream, and what it cost."""

    ids_Bhw: Tensor  # int64, no masks among them
    steps_B: Tensor  # int64: how many proposals each sample needed; 0 where the whole frame was given
