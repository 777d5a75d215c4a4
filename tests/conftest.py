"""What holds for the whole suite: no torchvision, no network, no GPU, and no help from either."""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType


class NoTorchvision(importlib.abc.MetaPathFinder):
    """torchvision is never needed: where it happens to be installed, importing it fails all the same."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] == "torchvision":
            raise ModuleNotFoundError("torchvision is kept out of the tests", name=fullname)
        return None


sys.meta_path.insert(0, NoTorchvision())
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for a busy core are slower than none
