"""Frames of a video by their numbers, each compared with its hash.

A frame is identified by its time, never by counting after a seek. Where a seek does not lead to the expected frame
(open groups of pictures, transport streams), the file is decoded from its start, which is slow and right.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.reader.container import open_video
from videogen.io.reader.scan import Scan, frame_hash, stream
from videogen.io.reader.strict import time_of, to_rgb
from videogen.io.resample import fit
from videogen.io.source import NO_LIMITS, Source, open_bytes

Backend = Literal["pyav", "decord"]
Frames = dict[int, NDArray[np.uint8]]
FRAMES_AT_ONCE = 16  # of one call to decord while it is compared
BYTES_AT_ONCE = 1 << 25  # of one call to decord otherwise


def read(
    source: Source,
    numbers: Sequence[int],
    scan: Scan | None = None,
    backend: Backend = "pyav",
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """The frames `numbers`, in that order and as often as named, uint8 [T, H, W, 3].

    With a scan it seeks, and every frame must equal the scanned one (else VideoError "changed"). Without, it reads
    strictly from the start to the end of the file. With a `size` (height, width) each frame is scaled and cropped as
    soon as it is decoded, so that only a few are in memory at their full size.
    """
    if not numbers:
        return np.zeros((0, 0, 0, 3), np.uint8)
    wanted = sorted(set(numbers))
    if scan is None:
        found = _from_start(source, wanted, None, size)
    else:
        _check_range(source, wanted, len(scan.pts))
        found = _by_seeking(source, wanted, scan, backend, size)
        if len(found) < len(wanted):
            found = _retry_from_start(source, wanted, scan, size)
    return np.stack([found[n] for n in numbers])


def read_along(source: Source, numbers: Sequence[int], scan: Scan) -> Iterator[NDArray[np.uint8]]:
    """The frames of `read` one by one as they are decoded; `numbers` must not decrease.

    The file is opened once and no frame is decoded twice.
    """
    assert all(a <= b for a, b in pairwise(numbers)), "numbers must not decrease"
    _check_range(source, numbers, len(scan.pts))
    done = 0
    with suppress(VideoError), closing(_along(source, sorted(set(numbers)), scan)) as found:
        for number, frame in found:
            if number != numbers[done] or not matches_scan(frame, number, scan):
                break
            while done < len(numbers) and numbers[done] == number:
                done += 1
                yield frame
    for first in range(done, len(numbers), FRAMES_AT_ONCE):
        yield from read(source, numbers[first : min(first + FRAMES_AT_ONCE, len(numbers))], scan)


def choose_backend(source: Source, scan: Scan) -> Backend:
    """ "decord" if it gives every frame of the scan, in order and at random; else "pyav".

    Call it in a process that may die: decord aborts or hangs on some files.
    """
    numbers = list(range(len(scan.pts)))
    shuffled = np.random.default_rng(0).permutation(numbers).tolist()
    try:
        with _decord_reader(source) as reader:
            if len(reader) != len(numbers):
                return "pyav"
            for order in (numbers, shuffled[: 4 * FRAMES_AT_ONCE]):
                for start in range(0, len(order), FRAMES_AT_ONCE):
                    some = order[start : start + FRAMES_AT_ONCE]
                    batch = reader.get_batch(some).asnumpy()
                    if [frame_hash(frame) for frame in batch] != [scan.hashes[n] for n in some]:
                        return "pyav"
    except Exception:  # decord is missing or fails: PyAV reads the file
        return "pyav"
    return "decord"


def matches_scan(frame: NDArray[np.uint8], number: int, scan: Scan) -> bool:
    """Whether it is the frame that was scanned; true where the scan has no hashes (see `probe`)."""
    return not scan.hashes or frame_hash(frame) == scan.hashes[number]


def _check_range(source: Source, numbers: Sequence[int], length: int) -> None:
    outside = [n for n in numbers if not 0 <= n < length]
    if outside:
        raise VideoError("range", str(source), f"frame {outside[0]} was asked for; it has frames 0 to {length - 1}")


def _from_start(source: Source, wanted: Sequence[int], scan: Scan | None, size: tuple[int, int] | None) -> Frames:
    """The wanted frames from a strict pass to the end; each must be the one that was scanned."""
    found: Frames = {}
    numbers = set(wanted)
    count = 0
    for _, frame in stream(source):
        if count in numbers:
            if scan is not None and not matches_scan(frame, count, scan):
                raise VideoError(
                    "changed", str(source), f"frame {count} is not the one that was indexed; index it again"
                )
            found[count] = resize(frame, size)
        count += 1
    _check_range(source, wanted, count)
    return found


def _retry_from_start(source: Source, wanted: Sequence[int], scan: Scan, size: tuple[int, int] | None) -> Frames:
    """The slow way after a seek failed; if it does not give the frames either, the file has changed."""
    try:
        return _from_start(source, wanted, scan, size)
    except VideoError as error:
        if error.kind == "changed" or not scan.hashes:
            raise
        raise VideoError("changed", str(source), f"not as it was indexed: {error.detail}") from None


def _by_seeking(
    source: Source, wanted: Sequence[int], scan: Scan, backend: Backend, size: tuple[int, int] | None
) -> Frames:
    """Frames by seeking to the key frame before each, up to the first that is not the scanned one."""
    found: Frames = {}
    with (
        suppress(VideoError),
        closing((_by_decord if backend == "decord" else _along)(source, wanted, scan)) as decoded,
    ):
        for number, frame in decoded:
            if not matches_scan(frame, number, scan):
                break
            found[number] = resize(frame, size)
    return found


def resize(frame: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    return frame if size is None else fit(frame[None], *size)[0]


def _along(source: Source, wanted: Sequence[int], scan: Scan) -> Generator[tuple[int, NDArray[np.uint8]]]:
    """The wanted frames in order with their numbers, seeking where that skips frames; some may be missing."""
    import av

    number_at = {pts: n for n, pts in enumerate(scan.pts)}
    keys = np.array(scan.keyframes or (0,))
    with open_video(source, NO_LIMITS) as video:
        decoded: Iterator[av.VideoFrame] = iter(())
        position = -1  # of the last decoded frame
        for n in wanted:
            key = int(keys[np.searchsorted(keys, n, side="right") - 1]) if keys[0] <= n else 0
            if position + 1 < key or position > n or position == -1:
                if key > 0 or position >= 0:
                    video.container.seek(scan.pts[key], stream=video.stream, backward=True)
                decoded = video.container.decode(video.stream)
            for frame in decoded:
                if frame.is_corrupt:
                    raise VideoError("corrupt", video.name, "the decoder marks a frame as damaged")
                position = number_at.get(time_of(frame), -1)
                if position == n:
                    yield n, to_rgb(frame)
                if position >= n:
                    break


def _by_decord(source: Source, wanted: Sequence[int], scan: Scan) -> Generator[tuple[int, NDArray[np.uint8]]]:
    """The wanted frames by decord, some at a time."""
    some = max(1, BYTES_AT_ONCE // (3 * scan.height * scan.width))
    try:
        with _decord_reader(source) as reader:
            for start in range(0, len(wanted), some):
                piece = wanted[start : start + some]
                yield from zip(piece, reader.get_batch(piece).asnumpy(), strict=True)
    except Exception:  # decord raises one exception for everything
        return


@contextmanager
def _decord_reader(source: Source) -> Iterator[Any]:
    import decord

    with open_bytes(source, NO_LIMITS) as file:
        reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=1)
        try:
            yield reader
        finally:
            del reader  # its threads read ahead without limit until it is deleted
