"""Encoding in separate processes, slow enough to be killed in the middle."""

import os
import subprocess
import sys
from pathlib import Path

import videogen

CHECKOUT = Path(videogen.__file__).parents[1]
PROGRAM = """
import sys, time
from pathlib import Path
from videogen.data import load_index
from videogen.models import load_tokenizer
from videogen.tokens import encode

data, model, out, ready, go = map(Path, sys.argv[1:])
index, tokenizer = load_index(data), load_tokenizer(model)
ready.touch()
while not go.exists():
    time.sleep(0.005)
print(encode(index, out, tokenizer, clips_per_shard=1, on_progress=lambda done, total: time.sleep(0.05)).encoded)
"""


def start(data: Path, model: Path, out: Path, ready: Path, go: Path) -> "subprocess.Popen[str]":
    """A process that says when it is `ready`, begins when `go` is there, and prints how many clips it encoded."""
    arguments = [sys.executable, "-c", PROGRAM, *map(str, (data, model, out, ready, go))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(arguments, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
