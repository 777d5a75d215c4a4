"""One measurement of `benchmarks.paired`, in a process of its own: `paired_workers.py CASE DATA`.

It runs as a file inside another checkout, so it imports nothing but the standard library and what both promise.
"""

import hashlib
import http.client
import io
import json
import os
import re
import runpy
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

PROMPT = "a small red ring drifts left slowly over a dark blue background"
LATENT_FRAME, WARM_UP, FRAMES = 4, 17, 81  # frames
STEPS = {"tokenizer": 24, "prior": 12}  # of training
LOSSES = {"tokenizer": "total/tokenizer", "prior": "nats"}
FIRST_STEPS = 3  # which are not counted
REQUESTS = 7


def main() -> None:
    case, data = sys.argv[1], Path(sys.argv[2])
    cases = {"streaming": streaming, "studio": studio}
    answer = cases[case]() if case in cases else training(case, data)
    print(json.dumps(answer))


def streaming() -> dict[str, Any]:
    """CPU seconds a latent frame, with a full window."""
    import torch

    torch.set_num_threads(1)
    from videogen.pipeline import VideoPipeline

    stream = iter(VideoPipeline.from_pretrained().stream(PROMPT, num_frames=FRAMES, generator=1))
    hashed, began = hashlib.sha256(), 0.0
    for number in range(FRAMES):
        if number == WARM_UP:
            began = time.process_time()
        hashed.update(next(stream).tobytes())
    taken = time.process_time() - began
    seconds = taken * LATENT_FRAME / (FRAMES - WARM_UP)
    return {"seconds": seconds, "peak_mb": peak_mb(os.getpid()), "result": hashed.hexdigest()}


def training(stage: str, data: Path) -> dict[str, Any]:
    """CPU seconds a step, between lines of the log; the result is the losses."""
    with tempfile.TemporaryDirectory() as folder:
        log, seen = Path(folder) / "run" / "metrics.jsonl", [(0, 0.0)]
        train = data / ("clips" if stage == "tokenizer" else "tokens")
        settings = {
            **{"data.train": train, "data.validation_share": 0.1, "data.validation_clips": 4},
            **{"training.steps": STEPS[stage], "training.log_every": 1, "training.precision": "fp32"},
            **dict.fromkeys(("training.validate_every", "training.sample_every", "training.checkpoint_every"), 1000),
        }
        command = ["videogen", "train", stage, "playroom_64_cpu", "--run", str(log.parent), "--threads", "1", "--quiet"]
        command += [] if stage == "tokenizer" else ["--tokenizer", "playroom"]
        sys.argv = [*command, *(f"{name}={value}" for name, value in settings.items())]
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(log, STEPS[stage], seen, done))
        watcher.start()
        try:
            with redirect_stdout(io.StringIO()):
                runpy.run_module("videogen", run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                raise
        finally:
            done.set()
            watcher.join()
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    (first, before), (last, after) = next(each for each in seen if each[0] >= FIRST_STEPS), seen[-1]
    losses = [line[LOSSES[stage]] for line in lines if line["kind"] == "train"]
    result = hashlib.sha256(repr(losses).encode()).hexdigest()
    return {"seconds": (after - before) / (last - first), "peak_mb": peak_mb(os.getpid()), "result": result}


def watch(log: Path, steps: int, seen: list[tuple[int, float]], done: threading.Event) -> None:
    """The CPU time of this process whenever the log has another training line."""
    while not done.wait(0.004):
        count = log.read_text().count('"kind": "train"') if log.exists() else 0
        if count > seen[-1][0] and count <= steps:
            seen.append((count, time.process_time()))


def studio() -> dict[str, Any]:
    """Wall seconds from a request to the first whole fragment of its video, in the median; the first is not counted."""
    command = [sys.executable, "-P", "-m", "videogen", "serve", "--port", "0", "--threads", "1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://[^ /]+:(\d+)", server.stdout.readline())
        assert found is not None, "the server did not say where it listens"
        times = [first_fragment(int(found[1]), seed) for seed in range(REQUESTS + 1)][1:]
        peak = sum(peak_mb(process) for process in family(server.pid))
    finally:
        server.terminate()
        server.wait()
    return {"seconds": statistics.median(times), "peak_mb": peak, "result": ""}


def first_fragment(port: int, seed: int) -> float:
    began = time.perf_counter()
    made = request(port, "POST", "/v1/streams", {"prompt": PROMPT, "seed": seed})
    name = json.loads(made.read())["id"]
    video, held = request(port, "GET", f"/v1/streams/{name}/video"), b""
    while b"mdat" not in held:
        part = video.read1(65536)
        assert part, "the video ended before its first fragment"
        held += part
    taken = time.perf_counter() - began
    request(port, "DELETE", f"/v1/streams/{name}").read()
    return taken


def request(port: int, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status < 300, f"{method} {path}: {response.status} {response.read()!r}"
    return response


def family(process: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in family(int(child)))]


def peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


if __name__ == "__main__":
    main()
