"""transformers asks whether torchvision is there, and must hear no in place of an error."""

import sys

sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]
