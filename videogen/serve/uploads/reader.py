"""The process that reads one upload: `python -m videogen.serve.uploads.reader SOCKET FILE TASK`, both numbers.

Before it looks at the first byte of the file, it limits itself: no files written, few descriptors, bounded memory and
processor time. It uses the strict reader alone, and sends one message. The number of threads cannot be limited: FFmpeg
starts some to open a file, and the system counts them as processes.
"""

import errno
import json
import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from videogen.io import ReadLimits, Scan, VideoError, read_along, scan
from videogen.io.images import as_rgb, numbers_from_end
from videogen.serve.messages import MessageSocket, UploadRead, UploadRejected

MAX_DESCRIPTORS = 32
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "MPO")  # no format that Pillow hands to another program
NO_MEMORY, TOO_LARGE = os.strerror(errno.ENOMEM), "it needs more memory than the limit"
Frames = NDArray[np.uint8]  # [T, H, W, 3]


class ReadTask(NamedTuple):
    """What to read of a file, and the limits."""

    kind: str  # "video" or "image"
    fps: float
    height: int
    width: int
    last: int  # how many of the last frames of a video to return
    seconds: int  # of processor time
    memory: int  # bytes of address space
    pixels: int  # maximum of a frame
    frames: int  # maximum of a video


def main(arguments: list[str]) -> int:
    connection = MessageSocket(socket.socket(fileno=int(arguments[0])))
    task = ReadTask(**json.loads(arguments[2]))
    limit_resources(task)
    connection.send(read_upload(int(arguments[1]), task))
    return 0


def limit_resources(task: ReadTask) -> None:
    """Cannot be undone."""
    limits = {
        resource.RLIMIT_AS: task.memory,
        resource.RLIMIT_CPU: task.seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: MAX_DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


def read_upload(descriptor: int, task: ReadTask) -> UploadRead | UploadRejected:
    try:
        if task.kind == "image":
            return read_image(descriptor, task)
        return read_video(Path(f"/dev/fd/{descriptor}"), task)
    except VideoError as error:
        if NO_MEMORY in error.detail:  # as the decoder says it
            return UploadRejected(TOO_LARGE)
        return UploadRejected(f"{error.detail} ({error.kind})")
    except MemoryError:
        return UploadRejected(TOO_LARGE)


def read_video(path: Path, task: ReadTask) -> UploadRead:
    """The last frames of a clip at the model's frame rate and size; every frame of the clip is checked."""
    seen = scan(path, ReadLimits(2**62, task.pixels, task.frames, float(task.frames)))
    numbers = numbers_from_end(seen, task.fps)[-task.last :].tolist()
    frames = np.concatenate(list(resized_frames(path, numbers, seen, task)))
    same_rate = not seen.fps or abs(seen.fps / task.fps - 1) <= 0.01
    rate = [] if same_rate else [f"{seen.fps:.4g} become {task.fps:g} a second"]
    black = ["transparent pixels become black"] if seen.transparent_frames else []
    changes = rate + size_changes(seen.height, seen.width, task) + black
    return UploadRead(len(frames), describe(changes), frames.tobytes())


def resized_frames(path: Path, numbers: list[int], seen: Scan, task: ReadTask) -> Iterator[Frames]:
    for frame in read_along(path, numbers, seen):
        yield resize_to_cover(Image.fromarray(frame), task)[None]


def read_image(descriptor: int, task: ReadTask) -> UploadRead | UploadRejected:
    """An image, with its EXIF orientation applied."""
    Image.MAX_IMAGE_PIXELS = None  # the limit is checked below, before anything is decoded
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file, Image.open(file, formats=FORMATS) as stored:
            width, height = stored.size
            if width * height > task.pixels:
                raise VideoError("too-large", "", f"{width} x {height} pixels; the limit is {task.pixels} in all")
            image = Image.fromarray(as_rgb(ImageOps.exif_transpose(stored)))
    except VideoError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        return UploadRejected("it is damaged, or not a PNG, JPEG, WebP, GIF or BMP image")
    return UploadRead(
        1, describe(size_changes(image.height, image.width, task)), resize_to_cover(image, task).tobytes()
    )


def resize_to_cover(image: Image.Image, task: ReadTask) -> Frames:
    """uint8 [height, width, 3], scaled with antialiasing and cropped in the middle, as `videogen.io.fit` does."""
    scale = max(task.height / image.height, task.width / image.width)
    width, height = (max(1, round(side * scale)) for side in image.size)
    width, height = max(task.width, width), max(task.height, height)
    left, top = (width - task.width) // 2, (height - task.height) // 2
    scaled = image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled.crop((left, top, left + task.width, top + task.height)))


def size_changes(height: int, width: int, task: ReadTask) -> list[str]:
    if (height, width) == (task.height, task.width):
        return []
    scale = max(task.height / height, task.width / width)
    cropped = height * scale - task.height >= 1 or width * scale - task.width >= 1
    return [f"{width} x {height} becomes {task.width} x {task.height}", *(["edges are cropped"] if cropped else [])]


def describe(changes: list[str]) -> str:
    return f"as the model sees it, {', '.join(changes)}" if changes else ""


if __name__ == "__main__":
    av.logging.set_level(None)
    sys.exit(main(sys.argv[1:]))
