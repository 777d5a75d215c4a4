"""Write the hashes of the current code, before a change that must not change a bit: `python -m tests.golden`.

Then, after the change, `pytest -m slow tests/golden` compares. What is written holds for this kind of machine.
"""

import tempfile
import time
from pathlib import Path

from tests.golden.cases import generation, training
from tests.golden.machine import write_hashes


def main() -> None:
    began, found = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        for cases in (generation(), training(Path(folder))):
            for name, value in cases:
                found[name] = value
                print(f"{time.monotonic() - began:6.1f} s  {value}  {name}", flush=True)
    write_hashes(found)


if __name__ == "__main__":
    main()
