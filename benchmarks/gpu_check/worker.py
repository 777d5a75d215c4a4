"""The process of one check: `python -m benchmarks.gpu_check.worker MODULE:FUNCTION DEVICE ROWS SECONDS`.

Each row is written to the file ROWS when it is found, so that a later failure does not lose it. Shortly before SECONDS
are over, the process prints the stack of every thread.
"""

import faulthandler
import importlib
import json
import os
import sys

from benchmarks.gpu_check import as_row
from videogen.system.threads import bound_spinning


def main() -> None:
    function, device, rows, seconds = sys.argv[1:]
    faulthandler.dump_traceback_later(0.9 * float(seconds))
    bound_spinning()
    module, name = function.split(":")
    with open(rows, "w", encoding="utf-8") as file:  # noqa: PTH123  # pathlib would be one more import
        for finding in getattr(importlib.import_module(module), name)(device):
            file.write(json.dumps(as_row(finding)) + "\n")
            file.flush()
            os.fsync(file.fileno())


if __name__ == "__main__":
    main()
