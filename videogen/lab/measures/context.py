"""What a measure may look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interfaces.tokenizer import decode_clip, encode_clip
from videogen.io.pixels import to_clip, to_frames
from videogen.lab.job import PriorJob
from videogen.models import TokenizerModel

AT_ONCE = 16  # clips


@dataclass(frozen=True)
class TrainingRecord:
    """What a training took."""

    steps: int
    ms_per_step: float  # CPU time of all threads, the median over the steps
    peak_mib: float  # of the whole process


@dataclass(frozen=True, eq=False)
class MeasureContext:
    """A trained variant and the clips that were held out, with what most measures need computed once."""

    model: TokenizerModel  # averaged weights, evaluation mode
    clips: Tensor  # uint8 [N, T, H, W, 3]
    captions: tuple[str, ...]  # of the clips; "" where there is none
    training: TrainingRecord
    run: Path  # the run folder: metrics.jsonl, model/
    pictures: Path  # a folder for pictures of this variant
    prior: PriorJob | None = None  # of the measure `prior`

    @property
    def quantizer(self) -> Any:
        """That of the tokenizer, for measures that look into it."""
        network: Any = self.model.network
        return network.quantizer

    @cached_property
    def codes(self) -> Tensor:
        """int64 [N, T', tokens, K], encoded in streaming form."""
        return torch.cat([encode_clip(self.model.network, to_clip(part)) for part in torch.split(self.clips, AT_ONCE)])

    @cached_property
    def reconstructions(self) -> Tensor:
        """The clips from their codes, and their captions if the decoder takes some: uint8 [N, T, H, W, 3]."""
        return self.decode(self.codes, self.captions)

    def reconstruct(self, clips: Tensor) -> Tensor:
        """Any clips of this frame size, encoded and decoded: uint8 [N, T, H, W, 3]."""
        network, parts = self.model.network, []
        for part in torch.split(clips, AT_ONCE):
            decoded = decode_clip(network, encode_clip(network, to_clip(part)), self.model.spec)
            parts.append(to_frames(decoded[:, :, : clips.shape[1]]))
        return torch.cat(parts)

    def decode(self, codes_NTNK: Tensor, captions: Sequence[str] | None = None) -> Tensor:
        """The clips of any codes, as long as the held-out ones: uint8 [N, T, H, W, 3]."""
        parts = []
        for start in range(0, len(codes_NTNK), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            state = None if captions is None else self.model.begin_decoding(captions[part])
            parts.append(to_frames(decode_clip(self.model.network, codes_NTNK[part], self.model.spec, state)))
        return torch.cat(parts)[:, : self.clips.shape[1]]
