"""The progress bar of a pipeline call: by default only in a terminal or a notebook."""

import inspect
from collections.abc import Mapping
from typing import Any

from videogen.generation.arguments import refuse_unknown


class ProgressBar:
    """Arguments of tqdm, as in `set_progress_bar_config` of `diffusers`, for all bars of a pipeline."""

    def __init__(self) -> None:
        self.config: Mapping[str, Any] = {}

    def configure(self, config: Mapping[str, Any]) -> None:
        from tqdm.std import tqdm

        refuse_unknown(config, inspect.signature(tqdm.__init__).parameters, "tqdm")
        self.config = dict(config)

    def start(self, total: int) -> Any:
        """An open bar over `total` frames."""
        from tqdm.auto import tqdm

        notebook = any("notebook" in base.__module__ for base in tqdm.__mro__)
        return tqdm(**{"unit": "frame", "disable": False if notebook else None, **self.config, "total": total})
