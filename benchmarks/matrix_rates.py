"""How fast this machine multiplies matrices by each way that torch has: what `training.precision` is worth on a CPU.

The shapes are those of a feed-forward layer of a prior over a batch of pictures. The ways take turns; the best round of
each counts.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.hardware import describe

ROWS, INPUTS, OUTPUTS = 3328, 704, 256  # 32 pictures of 104 tokens, back from the hidden width
BF16 = torch.bfloat16
Way = Callable[[], Tensor]


def ways() -> dict[str, Way]:
    x_RC, weight_OC = torch.randn(ROWS, INPUTS), torch.randn(OUTPUTS, INPUTS)
    x16_RC, weight16_OC = x_RC.to(BF16), weight_OC.to(BF16)
    as_picture = x_RC.view(1, ROWS, 1, INPUTS).permute(0, 3, 1, 2)  # channels last, as it lies
    as_kernel = weight_OC.view(OUTPUTS, 1, 1, INPUTS).permute(0, 3, 1, 2)
    return {
        "float32, matrix product": lambda: F.linear(x_RC, weight_OC),
        "float32, convolution of 1 x 1": lambda: F.conv2d(as_picture, as_kernel),
        "bfloat16, matrix product": lambda: F.linear(x16_RC, weight16_OC),
    }


def rates(rounds: int) -> dict[str, float]:
    """GFLOP/s."""
    best = dict.fromkeys(each := ways(), float("inf"))
    for number in range(rounds + 1):
        for name, way in each.items():
            began = time.perf_counter()
            way()
            if number:  # the first prepares
                best[name] = min(best[name], time.perf_counter() - began)
    return {name: 2 * ROWS * INPUTS * OUTPUTS / seconds / 1e9 for name, seconds in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    hardware, threads, found = describe(), torch.get_num_threads(), rates(arguments.rounds)
    if arguments.json:
        print(json.dumps({"hardware": hardware, "threads": threads, "gflops": found}, indent=2))
        return
    print(f"matrix products on {hardware}, {threads} threads")
    for name, rate in found.items():
        print(f"  {name:<32} {rate:6.0f} GFLOP/s")


if __name__ == "__main__":
    main()
