"""Any frames of a video by their numbers, each proven by its hash.

A frame is known by its time, never by counting after a jump. Where jumping does not lead to the promised frame (open
groups of pictures, transport streams), the file is decoded from its start: slow, and right.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from videogen.io.errors import VideoError
from videogen.io.reader.scan import Scan, picture_hash, stream
from videogen.io.resample import fit
from videogen.io.source import Limits, Source, open_bytes

Backend = Literal["pyav", "decord"]
Pictures = dict[int, NDArray[np.uint8]]
EVERYTHING = Limits(max_bytes=1 << 62, max_pixels=1 << 30, max_frames=1 << 40, max_seconds=1e12)
AT_ONCE = 16  # frames in memory, of one call to decord while it is put to the proof
AT_ONCE_BYTES = 1 << 25  # of one call to decord otherwise


def read(
    source: Source,
    numbers: Sequence[int],
    scan: Scan | None = None,
    backend: Backend = "pyav",
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """The frames `numbers`, in that order and as often as named, uint8 [T, H, W, 3].

    With the scan of an earlier pass it jumps, and every frame must be the one seen then (else VideoError "changed").
    Without, it reads strictly from the start to the end of the file. To a `size` (height, width) each is scaled and
    cropped as it comes, see `fit`: then only a few are in memory as large as they are in the file.
    """
    if not numbers:
        return np.zeros((0, 0, 0, 3), np.uint8)
    wanted = sorted(set(numbers))
    if scan is None:
        pictures = _from_start(source, wanted, None, size)
    else:
        _check_range(source, wanted, len(scan.pts))
        pictures = _by_jumps(source, wanted, scan, backend, size)
        if len(pictures) < len(wanted):
            pictures = _again_from_start(source, wanted, scan, size)
    return np.stack([pictures[n] for n in numbers])


def read_along(source: Source, numbers: Sequence[int], scan: Scan) -> Iterator[NDArray[np.uint8]]:
    """The same frames as `read` gives, one by one as they are decoded, for `numbers` that never fall.

    However many there are, the file is opened once and no frame is decoded twice, where `read` would begin at a key
    frame for each handful of them.
    """
    assert all(a <= b for a, b in pairwise(numbers)), "what goes along a video does not go back"
    _check_range(source, numbers, len(scan.pts))
    done = 0
    with suppress(VideoError), closing(_along(source, sorted(set(numbers)), scan)) as pictures:
        for number, picture in pictures:
            if number != numbers[done] or not is_as_seen(picture, number, scan):
                break
            while done < len(numbers) and numbers[done] == number:
                done += 1
                yield picture
    for first in range(done, len(numbers), AT_ONCE):
        yield from read(source, numbers[first : min(first + AT_ONCE, len(numbers))], scan)


def choose_backend(source: Source, scan: Scan) -> Backend:
    """ "decord" if it gives every frame of the scan, in order and by random jumps; else "pyav".

    Call it in a process that may die: on some files decord aborts or hangs.
    """
    numbers = list(range(len(scan.pts)))
    shuffled = np.random.default_rng(0).permutation(numbers).tolist()
    try:
        with _decord_reader(source) as reader:
            if len(reader) != len(numbers):
                return "pyav"
            for order in (numbers, shuffled[: 4 * AT_ONCE]):
                for start in range(0, len(order), AT_ONCE):
                    some = order[start : start + AT_ONCE]
                    batch = reader.get_batch(some).asnumpy()
                    if [picture_hash(picture) for picture in batch] != [scan.hashes[n] for n in some]:
                        return "pyav"
    except Exception:  # not there, or unable: whatever it says, PyAV is the truth
        return "pyav"
    return "decord"


def is_as_seen(picture: NDArray[np.uint8], number: int, scan: Scan) -> bool:
    """Whether it is the frame that was scanned; always where frames were not (see `probe`)."""
    return not scan.hashes or picture_hash(picture) == scan.hashes[number]


def _check_range(source: Source, numbers: Sequence[int], length: int) -> None:
    outside = [n for n in numbers if not 0 <= n < length]
    if outside:
        raise VideoError("range", str(source), f"frame {outside[0]} was asked for; it has frames 0 to {length - 1}")


def _from_start(source: Source, wanted: Sequence[int], scan: Scan | None, size: tuple[int, int] | None) -> Pictures:
    """Read to the end, strictly; each wanted frame must be the one that was scanned."""
    pictures: Pictures = {}
    numbers = set(wanted)
    count = 0
    for _, picture in stream(source):
        if count in numbers:
            if scan is not None and not is_as_seen(picture, count, scan):
                raise VideoError(
                    "changed", str(source), f"frame {count} is not the one that was indexed; index it again"
                )
            pictures[count] = in_size(picture, size)
        count += 1
    _check_range(source, wanted, count)
    return pictures


def _again_from_start(source: Source, wanted: Sequence[int], scan: Scan, size: tuple[int, int] | None) -> Pictures:
    """The slow way, after a jump went wrong; if this does not give the frames either, the file has changed."""
    try:
        return _from_start(source, wanted, scan, size)
    except VideoError as error:
        if error.kind == "changed" or not scan.hashes:
            raise
        raise VideoError("changed", str(source), f"not as it was indexed: {error.detail}") from None


def _by_jumps(
    source: Source, wanted: Sequence[int], scan: Scan, backend: Backend, size: tuple[int, int] | None
) -> Pictures:
    """What can be had by jumping to the key frame before each wanted frame, as far as it is what was scanned."""
    pictures: Pictures = {}
    with (
        suppress(VideoError),
        closing((_by_decord if backend == "decord" else _along)(source, wanted, scan)) as decoded,
    ):
        for number, picture in decoded:
            if not is_as_seen(picture, number, scan):
                break
            pictures[number] = in_size(picture, size)
    return pictures


def in_size(picture: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    return picture if size is None else fit(picture[None], *size)[0]


def _along(source: Source, wanted: Sequence[int], scan: Scan) -> Generator[tuple[int, NDArray[np.uint8]]]:
    """The wanted frames, which rise, with their numbers; it jumps where that leaves frames out. Some may be missing."""
    import av

    from videogen.io.reader.strict import opened, time_of, to_rgb

    number_at = {pts: n for n, pts in enumerate(scan.pts)}
    keys = np.array(scan.keyframes or (0,))
    with opened(source, EVERYTHING) as video:
        decoded: Iterator[av.VideoFrame] = iter(())
        position = -1  # the number of the last frame that came out
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
    """The same by decord, some at a time."""
    some = max(1, AT_ONCE_BYTES // (3 * scan.height * scan.width))
    try:
        with _decord_reader(source) as reader:
            for start in range(0, len(wanted), some):
                piece = wanted[start : start + some]
                yield from zip(piece, reader.get_batch(piece).asnumpy(), strict=True)
    except Exception:  # decord has one exception for everything
        return


@contextmanager
def _decord_reader(source: Source) -> Iterator[Any]:
    import decord

    with open_bytes(source, EVERYTHING) as file:
        reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=1)
        try:
            yield reader
        finally:
            del reader  # its threads read ahead without limit until it is gone
