"""Matrix products on this machine: the benefit of `training.precision` on a CPU, and of packed weights.

The shapes are those of a feed-forward layer of a prior over a batch of frames. The products alternate; the best round
of each counts.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from prior.linear import Linear
from videogen.system.hardware import describe

ROWS, INPUTS, OUTPUTS = 3328, 704, 256  # 32 frames of 104 tokens, the down projection
BF16 = torch.bfloat16
Product = Callable[[], Tensor]


def products() -> dict[str, Product]:
    x_RC, weight_OC = torch.randn(ROWS, INPUTS), torch.randn(OUTPUTS, INPUTS)
    x16_RC, weight16_OC = x_RC.to(BF16), weight_OC.to(BF16)
    packed = Linear(INPUTS, OUTPUTS, bias=False).requires_grad_(False)
    packed.pack()
    return {
        "float32, matrix product": lambda: F.linear(x_RC, weight_OC),
        "float32, weights packed for streams": lambda: packed(x_RC),
        "bfloat16, matrix product": lambda: F.linear(x16_RC, weight16_OC),
    }


def rates(rounds: int) -> dict[str, float]:
    """GFLOP/s."""
    best = dict.fromkeys(each := products(), float("inf"))
    for number in range(rounds + 1):
        for name, call in each.items():
            began = time.perf_counter()
            call()
            if number:  # the first is a warm-up
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
        print(f"  {name:<36} {rate:6.0f} GFLOP/s")


if __name__ == "__main__":
    main()
