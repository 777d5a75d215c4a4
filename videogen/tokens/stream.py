"""From a video to its ids in bounded memory: a few pictures at a time, however long it is.

PyAV reads, also where decord would do, for decord reads ahead without limit: 3,000 frames of 256 x 256 took 2.4 GB and
47 s to encode with it, 0.06 GB and 28 s with PyAV (64 clips of 17 frames: 0.2 s faster with decord, of 2.9).
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from videogen.data.index.build import IndexedClip
from videogen.data.index.jsonl import path_of
from videogen.data.index.probe import stamp_of
from videogen.data.sources.entry import Fault
from videogen.data.window import shown_numbers
from videogen.io import VideoError, fit, read_along
from videogen.tokens.description import Cut
from videogen.tokens.plan import PlannedClip

if TYPE_CHECKING:
    from tokenizer.networks.cnn import VideoTokenizer

Pictures = NDArray[np.uint8]  # [T, H, W, 3]
AT_ONCE = 64  # pictures of one piece, or fewer:
BYTES_AT_ONCE = 1 << 28  # of the video's own size


def pictures_of(planned: PlannedClip, cut: Cut) -> Iterator[Pictures]:
    """The clip in pieces, as the cut wants it; VideoError if the file is not the one that was indexed."""
    clip = planned.clip
    _refuse_changed(clip)
    numbers = shown_numbers(clip.scan.seconds, planned.first, planned.pictures, cut.fps)
    step = max(1, min(AT_ONCE, BYTES_AT_ONCE // (clip.scan.height * clip.scan.width * 3)))
    pictures = read_along(clip.entry.source, numbers.tolist(), clip.scan)
    while piece := list(islice(pictures, step)):
        yield fit(np.stack(piece), cut.height, cut.width)


def ids_of(network: "VideoTokenizer", pieces: Iterable[Pictures]) -> Iterator[NDArray[np.int64]]:
    """Ids [T', h, w] of the pieces of one clip as they are known; the last group is filled with its last picture."""
    import torch

    from videogen.pixels import to_clip

    device, state = next(network.parameters()).device, None
    for piece in pieces:
        ids_BThw, state = network.encode(to_clip(torch.from_numpy(piece)[None].to(device)), state)
        yield ids_BThw[0].cpu().numpy()
    if state is not None:
        yield network.encode_tail(state)[0].cpu().numpy()


def _refuse_changed(clip: IndexedClip) -> None:
    path = path_of(clip.entry.source)
    stamp = stamp_of(path)
    if isinstance(stamp, Fault):
        raise VideoError(stamp.kind, str(path), f"{stamp.detail}, though it was indexed")
    if stamp != clip.stamp:
        raise VideoError("changed", str(path), "it is not the file that was indexed; index the set again")
