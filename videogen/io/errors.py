"""VideoError, the exception of this package, and the closed list of its kinds."""

import os

from videogen.errors import DataError

KINDS = {
    "missing": "there is no such file",
    "not-a-file": "a folder, a device or a pipe; only regular files are read",
    "scheme": "a URL or a path with a scheme; only files are read",
    "format": "not a container of the allowed list, judged by its content",
    "no-video": "a container without a video track, such as audio alone",
    "codec": "a video track that cannot be decoded here",
    "too-large": "more bytes or pixels than the limits allow",
    "too-long": "more frames or seconds than the limits allow",
    "corrupt": "the decoder or the container reported damage",
    "truncated": "fewer frames or seconds than the file's own header promises",
    "timestamps": "frame times that are missing or do not increase",
    "empty": "a video track without a single frame",
    "changed": "not the file that was indexed: a frame differs",
    "range": "a frame or a time that the video does not have",
    "encoder": "a video that cannot be written as asked",
}


class VideoError(DataError):
    """Why a video cannot be read or written: `kind` is one of KINDS, `detail` a sentence."""

    def __init__(self, kind: str, path: str | os.PathLike[str], detail: str) -> None:
        assert kind in KINDS, kind
        super().__init__(kind, str(path), detail)  # as arguments, so that it can be pickled
        self.kind, self.path, self.detail = kind, str(path), detail

    def __str__(self) -> str:
        return f"{self.path}: {self.detail} ({self.kind})"
