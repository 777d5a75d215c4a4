"""Reading and writing video: one face, two backends. PyAV, strictly, is the truth; decord may serve what is proven.

Importing this package imports neither.
"""

from videogen.io.errors import KINDS, VideoError
from videogen.io.metadata import read_metadata, tags_of
from videogen.io.reader.probe import probe
from videogen.io.reader.random_access import choose_backend, read, read_along
from videogen.io.reader.scan import Scan, scan, stream
from videogen.io.resample import fit, frames_at, over_black
from videogen.io.source import Limits, Source, Span
from videogen.io.writer.output_format import OutputFormat
from videogen.io.writer.video_writer import VideoWriter, write_video

__all__ = [
    "KINDS",
    "Limits",
    "OutputFormat",
    "Scan",
    "Source",
    "Span",
    "VideoError",
    "VideoWriter",
    "choose_backend",
    "fit",
    "frames_at",
    "over_black",
    "probe",
    "read",
    "read_along",
    "read_metadata",
    "scan",
    "stream",
    "tags_of",
    "write_video",
]
