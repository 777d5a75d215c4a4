"""Reading and writing video: one face, two backends. PyAV, strictly, is the truth; decord may serve what is proven.

Importing this package imports neither.
"""

from videogen.video.errors import KINDS, VideoError
from videogen.video.metadata import read_metadata, tags_of
from videogen.video.output_format import OutputFormat
from videogen.video.probing import probe
from videogen.video.random_access import choose_backend, read, read_along
from videogen.video.resample import fit, frames_at, over_black
from videogen.video.scanning import Scan, scan, stream
from videogen.video.source import Limits, Source, Span
from videogen.video.writer import VideoWriter, write_video

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
