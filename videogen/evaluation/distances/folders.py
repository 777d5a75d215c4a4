"""The extractors of folders that a user names."""

from pathlib import Path

from videogen.evaluation.distances.extractor import Extractor
from videogen.evaluation.distances.i3d import I3DFeatures
from videogen.evaluation.distances.transnet import TransNetFeatures


def extractors_of(i3d: Path | None, transnet: Path | None, device: str) -> list[Extractor]:
    """CheckpointError for a folder that is not one of its kind."""
    extractors: list[Extractor] = []
    if i3d is not None:
        extractors.append(I3DFeatures(i3d, device))
    if transnet is not None:
        extractors.append(TransNetFeatures(transnet, device))
    return extractors
