"""The kind of machine that the hashes are valid for: other processors and torch versions round differently."""

from pathlib import Path

import torch

FILE = Path(__file__).parent / "hashes.json"


def machine() -> dict[str, str]:
    return {"torch": torch.__version__, "processor": torch.backends.cpu.get_cpu_capability()}
