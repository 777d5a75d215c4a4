"""The quantizers against a public library: time and memory of a training pass over the same latents, in pairs.

    python -m benchmarks.tokenizer.quantizers      # needs vector-quantize-pytorch, which the dev extra installs
    python -m benchmarks.tokenizer.quantizers --tokens 65536 --cases "vq 8192 8" "residual 1024 8" --rounds 1 --passes 1

Every case runs in its own process, which gives its own peak memory; ours and theirs alternate. A process that the
system kills, because the machine's memory is not enough, has infinite figures. A pass of a codebook
that follows moving averages includes their update, as it does in the library. The library has no index backpropagation;
its nearest is a one-hot assignment with the gradient of all probabilities (straight_through), for the latents alone.
"""

import argparse
import json
import math
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tokenizer.quantize import (
    FSQConfig,
    IBQConfig,
    LFQConfig,
    QuantizerConfig,
    ResidualConfig,
    VQConfig,
    make_quantizer,
)
from videogen.system.hardware import describe

FSQ_64000 = (8, 8, 8, 5, 5, 5)
CASES = (
    "fsq 64000",
    "lfq 10",
    "lfq 14",
    "lfq 18",
    "vq 8192 8",
    "vq 16384 32",
    "residual 1024 8",
    "ibq 16384 8",
    "ibq 262144 8",
)  # family, size of a codebook (bits of LFQ), numbers of a code
DEPTH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=320, help="per batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=5, help="of each process, after one over two tokens")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("WHOSE", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        whose, case = arguments.one
        print(json.dumps(measure(whose, case, arguments.tokens, arguments.passes)))
        return
    figures = {"hardware": describe(), "tokens": arguments.tokens, "cases": {}}
    for case in arguments.cases:
        figures["cases"][case] = compared(case, arguments)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{figures['hardware']}; {arguments.tokens} tokens, forward and backward, one thread")
    print(f"{'case':<12}{'ours ms':>10}{'theirs ms':>11}{'ratio':>8}{'ours MiB':>10}{'theirs MiB':>12}")
    for case, f in figures["cases"].items():
        ours, theirs = f["ours"], f["theirs"]
        row = f"{case:<12}{ours['ms']:>10.2f}{theirs['ms']:>11.2f}{f['time ratio']:>8.1f}"
        print(f"{row}{ours['mib']:>10.1f}{theirs['mib']:>12.1f}")


def compared(case: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians over rounds in which both run once."""
    numbers = ["--tokens", str(arguments.tokens), "--passes", str(arguments.passes)]
    seen: dict[str, list[dict[str, float]]] = {"ours": [], "theirs": []}
    for _ in range(arguments.rounds):
        for whose, found in seen.items():
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tokenizer.quantizers", *numbers]
            done = subprocess.run([*command, "--one", whose, case], capture_output=True, text=True)
            if done.returncode == -signal.SIGKILL:  # the system's answer to too much memory
                found.append({"ms": math.inf, "mib": math.inf})
                continue
            done.check_returncode()
            found.append(json.loads(done.stdout))
    medians = {
        whose: {name: statistics.median(one[name] for one in found) for name in ("ms", "mib")}
        for whose, found in seen.items()
    }
    ratios = [theirs["ms"] / ours["ms"] for ours, theirs in zip(seen["ours"], seen["theirs"], strict=True)]
    return {**medians, "time ratio": statistics.median(ratios)}


def measure(whose: str, case: str, tokens: int, passes: int) -> dict[str, float]:
    """The median of the passes in milliseconds, and the increase of peak memory."""
    torch.set_num_threads(1)
    family, size, *numbers = case.split(" ")
    dim = len(FSQ_64000) if family == "fsq" else int(numbers[0] if numbers else size)
    quantize = (ours if whose == "ours" else theirs)(family, int(size), dim)
    latents = torch.randn(1, tokens, dim, generator=torch.Generator().manual_seed(0))
    quantize(latents[:, :2].clone().requires_grad_()).backward()  # type: ignore[no-untyped-call]  # warm-up
    before, times = peak_mib(), []
    for _ in range(passes):
        leaf = latents.clone().requires_grad_()
        began = time.perf_counter()
        quantize(leaf).backward()  # type: ignore[no-untyped-call]
        times.append((time.perf_counter() - began) * 1e3)
    return {"ms": statistics.median(times), "mib": peak_mib() - before}


def ours(family: str, size: int, dim: int) -> Callable[[Tensor], Tensor]:
    configs: dict[str, Callable[[], QuantizerConfig]] = {
        "fsq": lambda: FSQConfig(FSQ_64000),
        "lfq": lambda: LFQConfig(dim, 1.0, 0.1, 0.1, 0.25),
        "vq": lambda: VQConfig(size, dim),
        "residual": lambda: ResidualConfig(VQConfig(size, dim), DEPTH),
        "ibq": lambda: IBQConfig(size, dim, codebook_weight=0.0),
    }
    quantizer = make_quantizer(configs[family]())
    quantizer.begin_training()

    def loss(latents: Tensor) -> Tensor:
        out = quantizer.quantize(latents)
        if out.statistics:
            quantizer.update(out.statistics)
        return out.latents.square().mean() + sum(out.losses.values(), latents.new_zeros(()))

    return loss


def theirs(family: str, size: int, dim: int) -> Callable[[Tensor], Tensor]:
    import vector_quantize_pytorch as library  # type: ignore[import-untyped]

    if family == "fsq":
        fsq = library.FSQ(list(FSQ_64000)).train()
        return lambda latents: fsq(latents)[0].square().mean()
    common = {"dim": dim, "codebook_size": size, "commitment_weight": 0.25}
    makers: dict[str, Callable[[], Any]] = {
        "lfq": lambda: library.LFQ(dim=dim, codebook_size=2**dim, entropy_loss_weight=0.1, diversity_gamma=1.0),
        "vq": lambda: library.VectorQuantize(**common, rotation_trick=False),
        "residual": lambda: library.ResidualVQ(**common, num_quantizers=DEPTH, rotation_trick=False),
        "ibq": lambda: library.VectorQuantize(**common, straight_through=True, ema_update=False, rotation_trick=False),
    }
    quantizer = makers[family]().train()

    def loss(latents: Tensor) -> Tensor:
        codes, _, auxiliary = quantizer(latents)
        return codes.square().mean() + auxiliary.sum()  # type: ignore[no-any-return]

    return loss


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
