"""The roofline of a latent frame: its operations over the machine's rate, its bytes over the memory bandwidth.

For one pass of n tokens of each of B streams that attend to P more tokens, through L blocks of width D:

    parameters = L (D (H + 2 K) + H D + 3 D F), where H and K are the widths of all queries and of all keys
    operations = B n (2 parameters + 4 L H (P + n)), and B n 2 head for the tokens whose logits are read;
                 the last block computes only keys and values for the other tokens
    bytes      = (parameters + head) w + 2 B L K (P + n) w
    floor      = the larger of operations / peak and bytes / bandwidth

A latent frame costs one pass per proposal; the first pass also carries the latent frame before it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from prior.config import PriorConfig
from prior.head_config import ChainConfig, DepthConfig, FlowConfig
from prior.heads import make_head
from prior.linear import Linear

GEMM_SIDE = {"cpu": 2048, "cuda": 8192}
TRIAD_BYTES = {"cpu": 256 * 2**20, "cuda": 2 * 2**30}


@dataclass(frozen=True)
class PassCost:
    """Operations, and bytes to read; the slower of the two sets the time."""

    operations: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Peaks:
    """Measured rates of a machine: operations per second, and bytes per second."""

    operations: float
    bandwidth: float

    def floor(self, work: PassCost) -> float:
        """Seconds."""
        return max(work.operations / self.operations, work.bytes / self.bandwidth)

    def best(self, other: "Peaks") -> "Peaks":
        return Peaks(max(self.operations, other.operations), max(self.bandwidth, other.bandwidth))


def pass_cost(
    config: PriorConfig,
    frames: int,
    tokens: int,
    streams: int,
    width: int,
    read: float | None = None,
    asked: float | None = None,
) -> PassCost:
    """One pass over `frames` latent frames of so many tokens; `width` bytes a number; the answers to so many tokens
    `asked` about of each stream, by default the last frame, and logits `read` of as many. The window is full, as it is
    in a long stream."""
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    before, after = config.width * (queries + 2 * keys), config.width * (queries + 3 * config.hidden)
    head, asked = head_parameters(config), tokens if asked is None else asked
    seen = config.context_length + (config.window + 1) * tokens
    answering = 2 * after + 4 * queries * seen
    blocks = frames * tokens * (config.layers * (2 * before + answering) - answering) + asked * answering
    logits = 2 * head * (asked if read is None else read)
    held = 2 * streams * config.layers * keys * seen
    return PassCost(streams * (blocks + logits), (config.layers * (before + after) + head + held) * width)


def head_parameters(config: PriorConfig) -> int:
    """Those that a token is multiplied with: of the chain a matrix for each code and a gate before each but the first;
    of other heads all matrices, of a transformer over codes once a code, of a flow once a step."""
    sizes, head = config.spec.codebooks, config.head
    if not isinstance(head, ChainConfig):
        with torch.device("meta"):
            layers = [layer for layer in make_head(head, config.spec, config.width).modules() if type(layer) is Linear]
        times = head.steps if isinstance(head, FlowConfig) else len(sizes) if isinstance(head, DepthConfig) else 1
        return times * sum(layer.weight.numel() for layer in layers)
    return config.width * sum(sizes) + 2 * config.width**2 * max(0, len(sizes) - 1)


def frame_floor(
    config: PriorConfig,
    steps: float,
    tokens: int,
    streams: int,
    width: int,
    peaks: Peaks,
    asked: float | None = None,
) -> float:
    """Seconds of the prior for one latent frame of so many proposals, the first with the frame before it, the others
    about so many tokens `asked`, by default all."""
    first = peaks.floor(pass_cost(config, 2, tokens, streams, width, asked))
    return first + (steps - 1) * peaks.floor(pass_cost(config, 1, tokens, streams, width, asked=asked))


def break_even(width: int, peaks: Peaks) -> float:
    """Tokens per pass above which arithmetic takes longer than reading the weights."""
    return width / 2 * peaks.operations / peaks.bandwidth


def speedup_bound(tokens: int, steps: float, width: int, peaks: Peaks) -> float:
    """The speedup of `steps` proposals per latent frame over token by token, both at the roofline."""
    return min(tokens, break_even(width, peaks)) / (steps + 1)


def measured_peaks(device: torch.device, dtype: torch.dtype) -> Peaks:
    """The rates of a large matrix product in the prior's own linear layer, and of a triad; the best of three each."""
    side = GEMM_SIDE.get(device.type, 2048)
    matrix = Linear(side, side, bias=False, device=device, dtype=dtype).requires_grad_(False)
    matrix.pack()
    rows = torch.rand(side, side, device=device, dtype=dtype)
    seconds = best_of(lambda: matrix(rows), device)
    count = TRIAD_BYTES.get(device.type, 256 * 2**20) // (3 * dtype.itemsize)
    x, y = (torch.rand(count, device=device, dtype=dtype) for _ in range(2))
    total = torch.empty_like(x)
    copying = best_of(lambda: torch.add(x, y, alpha=0.5, out=total), device)
    return Peaks(2 * side**3 / seconds, 3 * count * dtype.itemsize / copying)


def best_of(work: Callable[[], object], device: torch.device, times: int = 3) -> float:
    work()
    return min(time_call(work, device) for _ in range(times))


def time_call(work: Callable[[], object], device: torch.device) -> float:
    """Seconds, waiting for a GPU to finish."""
    synchronize(device)
    began = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - began


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
