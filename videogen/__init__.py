"""The application: composes tokenizer, prior and sampling; the only package that touches disk, codecs and frameworks.

Importing it is cheap: it does not import torch. `from videogen import VideoPipeline` loads it on demand.
"""

import importlib
from typing import TYPE_CHECKING, Any

from videogen.system.threads import bound_spinning

if TYPE_CHECKING:
    from videogen.generation.export import export_to_gif, export_to_video, load_video
    from videogen.io.images import load_image
    from videogen.models.push import push_to_hub
    from videogen.pipeline import VideoPipeline

__all__ = ["VideoPipeline", "export_to_gif", "export_to_video", "load_image", "load_video", "push_to_hub"]
__version__ = "0.1.0"

bound_spinning()

_PLACES = {
    "VideoPipeline": "videogen.pipeline",
    "export_to_gif": "videogen.generation.export",
    "export_to_video": "videogen.generation.export",
    "load_image": "videogen.io.images",
    "load_video": "videogen.generation.export",
    "push_to_hub": "videogen.models.push",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'videogen' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
