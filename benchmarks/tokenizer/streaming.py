"""Decoding a stream, one latent frame at a time, against two other calls to compute the same pixels, in one run.

recompute   the whole-clip path of the same model over a window of 8 latent frames, for the newest of them
conv3d      the same weights and the same cached state, but every convolution in 3D

The roofline is max(operations / peak, bytes of weights and state / bandwidth), with peak and bandwidth measured in the
same run. The peak is the faster of a 2048^2 matrix product and a large 3 x 3 convolution.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from interfaces.tokens import TokenSpec
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.networks.convolution import FrameConv, TimeConv, last_frames
from tokenizer.networks.latent import LatentTokenizer
from tokenizer.quantize import FSQConfig
from tokenizer.streaming import State, flatten_state, state_tensors
from videogen.system.hardware import describe

WINDOW = 8
CONFIG = CNNTokenizerConfig(
    f_t=4,
    f_s=8,
    front="haar",
    front_t=4,
    front_s=2,
    encoder_widths=(64, 128, 256),
    encoder_blocks=(1, 2, 2),
    decoder_widths=(64, 128, 256),
    decoder_blocks=(2, 2, 3),
    attention=True,
    kernel_t=3,
    quantizer=FSQConfig(levels=(8, 5, 5, 5)),
    spread_weight=0.1,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=1000, help="latent frames of the memory test")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures = measure(arguments.rounds, arguments.frames)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


@torch.no_grad()
def measure(rounds: int, frames: int) -> dict[str, Any]:
    torch.manual_seed(0)
    model = CNNTokenizer(CONFIG).eval()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    machine = peaks(rounds)
    return {
        "hardware": describe(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "precision": "float32",
        "decoder_parameters": sum(weight.numel() for weight in model.decoder.parameters()),
        **machine,
        "grids": [grid_case(model, side, rounds, frames, machine) for side in (8, 16)],
    }


def grid_case(model: CNNTokenizer, side: int, rounds: int, frames: int, machine: dict[str, float]) -> dict[str, Any]:
    """One row of the table: a grid of side x side."""
    spec, generator = model.spec(8 * side, 8 * side), torch.Generator().manual_seed(side)
    shape = (1, WINDOW, spec.tokens)
    window = torch.stack([torch.randint(size, shape, generator=generator) for size in spec.codebooks], dim=-1)
    newest = window[:, -1:]
    _, state = model.decode(window[:, :-1], spec)
    assert state is not None
    slow = with_conv3d(model)

    def latents() -> Tensor:
        return model.quantizer.of_group(0).to_latents(window)

    calls: dict[str, Callable[[], Tensor]] = {
        "stream": lambda: model.decode(newest, spec, state)[0],
        "conv3d": lambda: slow.decode(newest, spec, state)[0],
        "recompute": lambda: model.decode_latents_parallel(latents(), spec)[:, :, -4:].clamp(-1, 1),
    }
    pixels = {name: call() for name, call in calls.items()}
    seconds = interleaved(list(calls.values()), rounds)
    floor = floor_seconds(model, newest, spec, state, machine)
    return {
        "grid": f"{side}x{side}",
        **{f"{name}_ms": 1e3 * each for name, each in zip(calls, seconds, strict=True)},
        "conv3d_ratio": seconds[1] / seconds[0],
        "recompute_ratio": seconds[2] / seconds[0],
        "floor_ms": 1e3 * floor,
        "fraction_of_floor": floor / seconds[0],
        "largest_difference": max((pixels[call] - pixels["stream"]).abs().max().item() for call in calls),
        **memory_of_a_long_stream(model, newest, spec, frames),
    }


def with_conv3d(model: CNNTokenizer) -> CNNTokenizer:
    """The same weights with every convolution as conv3d, as a port of usual 3D code with a cache would have it."""
    twin = copy.deepcopy(model)
    for layer in twin.modules():
        if isinstance(layer, FrameConv):
            layer.forward = MethodType(frame_conv3d, layer)  # type: ignore[method-assign]
        elif isinstance(layer, TimeConv):
            layer.forward = MethodType(time_conv3d, layer)  # type: ignore[method-assign]
    return twin


def frame_conv3d(layer: FrameConv, x_BTHWC: Tensor) -> Tensor:
    side = layer.conv.kernel_size[0] // 2
    return as_conv3d(x_BTHWC, layer.conv, layer.conv.weight[:, :, None], (0, side, side))


def time_conv3d(layer: TimeConv, x_BTHWC: Tensor, state: State | None) -> tuple[Tensor, State]:
    past = (x_BTHWC[:, :1],) * layer.keep if state is None else state_tensors(state, layer.keep)
    seen_BTHWC = torch.cat([*past, x_BTHWC], dim=1)
    y_BTHWC = as_conv3d(seen_BTHWC, layer.conv, layer.conv.weight[..., None], (0, 0, 0))
    return y_BTHWC, (*past, *last_frames(x_BTHWC, layer.keep))[-layer.keep :]


def as_conv3d(x_BTHWC: Tensor, conv: nn.Conv2d, weight: Tensor, padding: tuple[int, int, int]) -> Tensor:
    return F.conv3d(x_BTHWC.permute(0, 4, 1, 2, 3), weight, conv.bias, padding=padding).permute(0, 2, 3, 4, 1)


def peaks(rounds: int) -> dict[str, float]:
    """The current rates of the machine: floating-point operations and bytes per second."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    image, kernel = torch.randn(8, 128, 32, 32), torch.randn(128, 128, 3, 3)
    image, kernel = (x.contiguous(memory_format=torch.channels_last) for x in (image, kernel))
    x, y, out = (torch.randn(2**24) for _ in range(3))
    product, conv, triad = interleaved(
        [lambda: a @ b, lambda: F.conv2d(image, kernel, padding=1), lambda: torch.add(x, y, alpha=2.0, out=out)], rounds
    )
    return {
        "matrix_gflops": 2 * 2048**3 / product / 1e9,
        "convolution_gflops": 2 * 8 * 32 * 32 * 9 * 128**2 / conv / 1e9,
        "bandwidth_gb_s": 3 * 4 * 2**24 / triad / 1e9,
    }


def floor_seconds(
    model: CNNTokenizer, newest: Tensor, spec: TokenSpec, state: State, machine: dict[str, float]
) -> float:
    with FlopCounterMode(display=False) as counter:
        model.decode(newest, spec, state)
    weights = sum(weight.nbytes for weight in model.decoder.parameters())
    moved = weights + 2 * sum(leaf.nbytes for leaf in flatten_state(state).values())
    peak = 1e9 * max(machine["matrix_gflops"], machine["convolution_gflops"])
    return float(max(counter.get_total_flops() / peak, moved / (1e9 * machine["bandwidth_gb_s"])))


def memory_of_a_long_stream(model: LatentTokenizer, newest: Tensor, spec: TokenSpec, frames: int) -> dict[str, float]:
    """Resident memory after a tenth of the stream, and its growth in the rest."""
    state: State | None = None
    early, warm = 0.0, frames // 10
    for t in range(frames):
        _, state = model.decode(newest, spec, state)
        if t + 1 == warm:
            early = resident_megabytes()
    return {"latent_frames": frames, "resident_mb": early, "grown_mb": resident_megabytes() - early}


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def interleaved(calls: list[Callable[[], Tensor]], rounds: int) -> list[float]:
    """The median seconds of each; they alternate, so that a disturbance affects all of them."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def table(figures: dict[str, Any]) -> str:
    head = "streaming decode on {hardware}, torch {torch}, {threads} thread(s), {precision}\n".format(**figures)
    head += (
        "  decoder of {decoder_parameters:,} parameters; peak {matrix_gflops:.0f} (matrix product) and "
        "{convolution_gflops:.0f} (convolution) GFLOP/s, {bandwidth_gb_s:.0f} GB/s\n"
    ).format(**figures)
    row = (
        "  {grid:>5}: {stream_ms:.1f} ms a latent frame; conv3d {conv3d_ms:.1f} ({conv3d_ratio:.1f}x), recompute of 8 "
        "{recompute_ms:.1f} ({recompute_ratio:.1f}x); floor {floor_ms:.1f} ms, fraction {fraction_of_floor:.2f}; "
        "{grown_mb:+.1f} MB over {latent_frames} frames; largest difference {largest_difference:.1e}"
    )
    return head + "\n".join(row.format(**each) for each in figures["grids"])


if __name__ == "__main__":
    main()
