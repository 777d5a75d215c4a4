"""Reading and writing video with two backends: PyAV reads strictly; decord reads files for which it was proven equal.

Importing this package imports neither backend.
"""

from videogen.io.errors import KINDS, VideoError
from videogen.io.metadata import read_metadata, read_tags
from videogen.io.reader.probe import probe
from videogen.io.reader.random_access import choose_backend, read, read_along
from videogen.io.reader.scan import Scan, scan, stream
from videogen.io.resample import composite_on_black, fit, frames_at
from videogen.io.source import Cell, ReadLimits, Source, Span, path_of
from videogen.io.writer.output_format import OutputFormat
from videogen.io.writer.video_writer import VideoWriter, write_video

__all__ = [
    "KINDS",
    "Cell",
    "OutputFormat",
    "ReadLimits",
    "Scan",
    "Source",
    "Span",
    "VideoError",
    "VideoWriter",
    "choose_backend",
    "composite_on_black",
    "fit",
    "frames_at",
    "path_of",
    "probe",
    "read",
    "read_along",
    "read_metadata",
    "read_tags",
    "scan",
    "stream",
    "write_video",
]
