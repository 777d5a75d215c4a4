"""A progress bar for calls from Python: in a terminal and in a notebook, and nowhere else unless it is asked for."""

import inspect
from collections.abc import Mapping
from typing import Any

from videogen.generation.arguments import refuse_unknown


class ProgressBar:
    """Settings of tqdm, as `set_progress_bar_config` of `diffusers` takes them, for one bar after another."""

    def __init__(self) -> None:
        self.config: Mapping[str, Any] = {}

    def configure(self, config: Mapping[str, Any]) -> None:
        from tqdm.std import tqdm

        refuse_unknown(config, inspect.signature(tqdm.__init__).parameters, "tqdm")
        self.config = dict(config)

    def begin(self, total: int) -> Any:
        """An open bar over so many frames."""
        from tqdm.auto import tqdm

        notebook = any("notebook" in base.__module__ for base in tqdm.__mro__)
        return tqdm(**{"unit": "frame", "disable": False if notebook else None, **self.config, "total": total})
