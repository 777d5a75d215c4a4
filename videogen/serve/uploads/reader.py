"""The process that reads one upload: `python -m videogen.serve.uploads.reader SOCKET FILE TASK`, both numbers.

Before the first byte of the file is looked at, it gives up what it does not need: to write files, to open many, to use
more memory and time than it is granted. It reads by the strict reader alone, and says one thing. (Threads cannot be
given up: FFmpeg starts some to open a file, and to the system they are processes.)
"""

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
from videogen.io.images import as_rgb, shown_numbers
from videogen.serve.messages import MessageSocket, UploadRead, UploadRejected

FILES = 32  # descriptors
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "MPO")  # none of them needs another program
Frames = NDArray[np.uint8]  # [T, H, W, 3]


class Task(NamedTuple):
    """What is wanted of a file."""

    kind: str  # "video" or "image"
    fps: float
    height: int
    width: int
    last: int  # pictures of a video that are of use
    seconds: int  # of processor time
    memory: int  # bytes of address space
    pixels: int  # of a picture, at most
    frames: int  # of a video, at most


def main(arguments: list[str]) -> int:
    wire = MessageSocket(socket.socket(fileno=int(arguments[0])))
    task = Task(**json.loads(arguments[2]))
    give_up(task)
    wire.send(answer(int(arguments[1]), task))
    return 0


def give_up(task: Task) -> None:
    """Not to be had back."""
    bounds = {
        resource.RLIMIT_AS: task.memory,
        resource.RLIMIT_CPU: task.seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    for what, bound in bounds.items():
        resource.setrlimit(what, (bound, bound))


def answer(descriptor: int, task: Task) -> UploadRead | UploadRejected:
    try:
        if task.kind == "image":
            return of_image(descriptor, task)
        return of_video(Path(f"/dev/fd/{descriptor}"), task)
    except VideoError as error:
        return UploadRejected(f"{error.detail} ({error.kind})")
    except MemoryError:
        return UploadRejected("it needs more memory than there is for it")


def of_video(path: Path, task: Task) -> UploadRead:
    """The last pictures of a clip at the frame rate and of the size that the model knows, every frame of it checked."""
    seen = scan(path, ReadLimits(2**62, task.pixels, task.frames, float(task.frames)))
    numbers = shown_numbers(seen, task.fps)[-task.last :].tolist()
    pictures = np.concatenate(list(fitted(path, numbers, seen, task)))
    rate = (
        [] if not seen.fps or abs(seen.fps / task.fps - 1) <= 0.01 else [f"{seen.fps:.4g} become {task.fps:g} a second"]
    )
    black = ["transparent pixels become black"] if seen.transparent_frames else []
    changes = rate + resized(seen.height, seen.width, task) + black
    return UploadRead(len(pictures), in_words(changes), pictures.tobytes())


def fitted(path: Path, numbers: list[int], seen: Scan, task: Task) -> Iterator[Frames]:
    for picture in read_along(path, numbers, seen):
        yield cover(Image.fromarray(picture), task)[None]


def of_image(descriptor: int, task: Task) -> UploadRead | UploadRejected:
    """A picture, turned as it is meant to be seen."""
    Image.MAX_IMAGE_PIXELS = None  # what is too large is refused below, before any of it is decoded
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file, Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > task.pixels:
                raise VideoError("too-large", "", f"{width} x {height} pixels; the limit is {task.pixels} in all")
            picture = Image.fromarray(as_rgb(ImageOps.exif_transpose(image)))
    except VideoError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        return UploadRejected(
            "it is not a whole picture of a kind that is read, which are PNG, JPEG, WebP, GIF and BMP"
        )
    return UploadRead(1, in_words(resized(picture.height, picture.width, task)), cover(picture, task).tobytes())


def cover(picture: Image.Image, task: Task) -> Frames:
    """uint8 [height, width, 3]: scaled to cover, antialiased, the middle cropped out; as `videogen.io.fit` does."""
    scale = max(task.height / picture.height, task.width / picture.width)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    width, height = max(task.width, width), max(task.height, height)
    left, top = (width - task.width) // 2, (height - task.height) // 2
    scaled = picture if picture.size == (width, height) else picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(scaled.crop((left, top, left + task.width, top + task.height)))


def resized(height: int, width: int, task: Task) -> list[str]:
    if (height, width) == (task.height, task.width):
        return []
    scale = max(task.height / height, task.width / width)
    cropped = height * scale - task.height >= 1 or width * scale - task.width >= 1
    return [f"{width} x {height} becomes {task.width} x {task.height}", *(["edges are cropped"] if cropped else [])]


def in_words(changes: list[str]) -> str:
    return f"as the model sees it, {', '.join(changes)}" if changes else ""


if __name__ == "__main__":
    av.logging.set_level(None)
    sys.exit(main(sys.argv[1:]))
