"""The memory that loading a model takes, over the size of its weights in the file.

    python -m benchmarks.prior.loading --width 1024 --layers 16

The largest resident set of a process of its own, less that after a small model was loaded. Linux says how large it was.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring.random_models import PriorSize, write_random_model
from videogen.pipeline import VideoPipeline
from videogen.system.hardware import describe

STATUS = Path("/proc/self/status")
PROGRAM = f"""
import json, sys
from pathlib import Path
from videogen.pipeline import VideoPipeline

def peak():
    lines = Path("{STATUS}").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

small, large, dtype = sys.argv[1:]
VideoPipeline.from_pretrained(small, dtype=dtype)
before = peak()
network = VideoPipeline.from_pretrained(large, dtype=dtype).model.network
print(json.dumps([peak() - before, sum(each.nbytes for each in network.parameters())]))
"""


def peak_of(small: Path, large: Path, dtype: str) -> tuple[int, int]:
    """Bytes that loading the large model takes at most, and those of its prior's weights in memory."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(small), str(large), dtype]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    peak, weights = json.loads(done.stdout)
    return peak, weights


def main() -> None:
    parser = argparse.ArgumentParser(description="The memory that loading a model takes")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=16)
    given = parser.parse_args()
    shape = PriorSize(given.width, given.layers, given.width // 64, given.width // 64, 4 * given.width)
    print(f"{describe()}\n\nstored    loaded    file, GB  weights, GB  peak, GB  peak / file")
    with tempfile.TemporaryDirectory() as home:
        small = write_random_model(Path(home) / "small")
        large = VideoPipeline.from_pretrained(write_random_model(Path(home) / "large", shape=shape), dtype="bfloat16")
        for stored in ("bfloat16", "float32"):
            large.save_pretrained(Path(home) / stored, stored)
        for stored, dtype in (("bfloat16", "bfloat16"), ("float32", "bfloat16"), ("bfloat16", "float32")):
            file = (Path(home) / stored / "prior" / "model.safetensors").stat().st_size
            peak, weights = peak_of(small, Path(home) / stored, dtype)
            sizes = f"{file / 1e9:8.2f}  {weights / 1e9:11.2f}  {peak / 1e9:8.2f}  {peak / file:11.2f}"
            print(f"{stored:8}  {dtype:8}  {sizes}")


if __name__ == "__main__":
    main()
