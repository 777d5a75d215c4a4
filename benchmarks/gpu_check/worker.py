"""One check in a process: `python -m benchmarks.gpu_check.worker MODULE:FUNCTION DEVICE ROWS`.

Rows go to the file ROWS as they are found, each on its line, so that what comes later can take none away.
"""

import importlib
import json
import os
import sys

from benchmarks.gpu_check import as_row
from videogen.threads import bound_spinning


def main() -> None:
    function, device, rows = sys.argv[1:]
    bound_spinning()
    module, name = function.split(":")
    with open(rows, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib would be one more import
        for finding in getattr(importlib.import_module(module), name)(device):
            file.write(json.dumps(as_row(finding)) + "\n")
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    main()
